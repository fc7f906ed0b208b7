/**
 * What client and server say to each other, in this order (docs/remote-copy.md):
 *
 *     client                          server
 *     open: which range, to read or write
 *                                     opened: what that range is
 *     plan: how, from which block on
 *                                     offer: its end of the stream
 *     offer: the client's end
 *                                     ready
 *     then both, while data flows:
 *     destination: sums, or flushed   source: confirmed
 *     each, when all is confirmed: done
 */
import { z } from "zod";
import { textLine } from "../exchange/text.js";
import { streamOffer } from "../stream/offer.js";
import { MAX_IDENTITY } from "./identity.js";
import { MAX_WINDOW_BLOCKS } from "./windows.js";

/** How long either side may take to open its devices and to prove a path: milliseconds. */
export const OPEN_MS = 120_000;

const bytes = z.int().min(0);
const block = z.int().min(0);

/** Where a range is, for messages about its blocks. */
export const place = z.object({
  name: textLine(200),
  /** Bytes from the start of the namespace. */
  offset: bytes,
  /** Bytes of a logical block. */
  blockSize: z.int().min(1),
});
export type Place = z.infer<typeof place>;

export const open = z.object({
  type: z.literal("open"),
  /** The same in all connections of one copy. */
  copy: z.string().regex(/^[0-9a-f]{32}$/),
  /** Names, and BDF/NSID, have no other characters. */
  namespace: z.string().regex(/^[\w.:/-]{1,100}$/),
  offset: bytes,
  length: bytes.nullable(),
  access: z.enum(["read", "write"]),
});
export type Open = z.infer<typeof open>;

export const opened = z.object({
  type: z.literal("opened"),
  place,
  /** From the place's offset on, as far as the client may go. */
  bytes,
  /** What a journal knows the namespace by. */
  identity: textLine(MAX_IDENTITY),
  maxBs: z.int().min(1),
  maxIodepth: z.int().min(1),
});
export type Opened = z.infer<typeof opened>;

export const plan = z.object({
  type: z.literal("plan"),
  size: z.int().min(1),
  bs: z.int().min(1),
  iodepth: z.int().min(1),
  verify: z.boolean(),
  /** Blocks before it are confirmed. */
  first: block,
  /** The client's range. */
  place,
});
export type Plan = z.infer<typeof plan>;

export const staging = z.object({ memory: textLine(200), reason: textLine(1000) });
export type StagingChoice = z.infer<typeof staging>;

export const offer = z.object({ type: z.literal("offer"), offer: streamOffer, staging });

export const ready = z.object({ type: z.literal("ready") });

const traffic = z.object({
  source: z.enum(["counted", "derived"]),
  host_memory_bytes: bytes.nullable(),
  host_control_bytes: bytes.nullable(),
  root_complex_bytes: bytes.nullable(),
});

/** What one end has measured. */
const endReport = z.object({
  bytes,
  runtime_ns: z.number().min(0),
  lat_ns: z.object({
    min: z.number().nullable(),
    mean: z.number().nullable(),
    max: z.number().nullable(),
    percentile: z.record(z.string().regex(/^\d{1,2}(\.\d{1,3})?$/), z.number().nullable()),
  }),
  cpu: z.object({ usr_ns: z.number(), sys_ns: z.number(), busy_ns: z.number() }),
  traffic,
  /** Blocks in flight. */
  iodepth: z.int().min(1),
  notes: z.array(textLine(400)).transform((notes) => notes.slice(0, 20)),
  /** Bytes that verification read into host memory: not part of the traffic. */
  verify_bytes: bytes,
});
export type EndReport = z.infer<typeof endReport>;

const base64 = z.string().max(4 * Math.ceil((4 * MAX_WINDOW_BLOCKS) / 3 + 2));

/** What is said while data flows. */
export const report = z.discriminatedUnion("type", [
  /** A window's blocks are flushed; CRC-32C of each as read back: 4 bytes, little-endian, base64. */
  z.object({ type: z.literal("sums"), first: block, sums: base64 }),
  /** All blocks before this one are flushed, and nobody compares them. */
  z.object({ type: z.literal("flushed"), blocks: block }),
  /** All blocks before this one are as they left; where nobody compares, as far as the source knows. */
  z.object({ type: z.literal("confirmed"), blocks: block }),
  z.object({ type: z.literal("done"), report: endReport }),
]);

export function encodeSums(sums: Uint32Array): string {
  const bytes = Buffer.alloc(4 * sums.length);
  for (const [index, sum] of sums.entries()) bytes.writeUInt32LE(sum, 4 * index);
  return bytes.toString("base64");
}

export function decodeSums(text: string): Uint32Array {
  const bytes = Buffer.from(text, "base64");
  return Uint32Array.from({ length: Math.floor(bytes.length / 4) }, (_, index) =>
    bytes.readUInt32LE(4 * index),
  );
}
