/** What two sides tell each other of what RDMA needs to know of the other. */
import { z } from "zod";

const U24 = 2 ** 24 - 1;
const U32 = 2 ** 32 - 1;
const U64 = 2n ** 64n - 1n;

/** Where a queue pair is reached. `mtu`: of its port, bytes: the smaller one of both is used. */
export const queuePairAddress = z.object({
  number: z.int().min(0).max(U24),
  /** Of the first packet that it sends. */
  psn: z.int().min(0).max(U24),
  lid: z.int().min(0).max(0xffff),
  /** 16 bytes in hexadecimal digits. */
  gid: z.string().regex(/^[0-9a-f]{32}$/),
  mtu: z.union([256, 512, 1024, 2048, 4096].map((mtu) => z.literal(mtu))),
});
export type QueuePairAddress = z.infer<typeof queuePairAddress>;

/** Memory that the other side may write or read. `address`: 64 bits in decimal digits. */
export const regionAddress = z.object({
  address: z
    .string()
    // What is no number is not looked at any further.
    .regex(/^(0|[1-9]\d{0,19})$/, { abort: true })
    .refine((text) => BigInt(text) <= U64),
  rkey: z.int().min(0).max(U32),
  bytes: z.int().min(1),
});
export type RegionAddress = z.infer<typeof regionAddress>;

export function formatGid(gid: Uint8Array): string {
  return Buffer.from(gid).toString("hex");
}

/** `text`: as {@link queuePairAddress} takes it. */
export function parseGid(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "hex"));
}
