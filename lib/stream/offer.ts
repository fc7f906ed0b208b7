import { z } from "zod";
import { P2pError } from "../errors.js";
import { queuePairAddress, regionAddress } from "../exchange/address.js";

/**
 * What one end of a stream tells the other one, as JSON: how it is reached, and where its slots are.
 * Slot `i` of the source is written to slot `i` of the destination.
 */
export const streamOffer = z.object({
  role: z.enum(["source", "destination"]),
  queuePair: queuePairAddress,
  slots: z.int().min(1),
  /** Bytes from one slot to the next. */
  stride: z.int().min(1),
  blockBytes: z.int().min(1),
  /** Of the range: the last of its blocks may be shorter. */
  size: z.int().min(1),
  data: regionAddress,
  /** Of a header for each slot. */
  headers: regionAddress,
});
export type StreamOffer = z.infer<typeof streamOffer>;

/**
 * That two ends fit together, and the memory of the other one is as large as it says. Errors:
 * BAD_ARGUMENT (two ends of one kind), SIZE_MISMATCH, BAD_MESSAGE.
 */
export function checkOffers(own: StreamOffer, remote: StreamOffer, headerBytes: number): void {
  if (own.role === remote.role)
    throw new P2pError("BAD_ARGUMENT", `both ends of the stream are its ${own.role}`, {
      hint: "one reads and the other one writes",
    });
  for (const [what, here, there] of [
    ["a block", own.blockBytes, remote.blockBytes],
    ["the range", own.size, remote.size],
  ] as const)
    if (here !== there)
      throw new P2pError(
        "SIZE_MISMATCH",
        `${what} has ${here} bytes here, ${there} at the other end of the stream`,
        { hint: "use the same sizes at both ends" },
      );
  const { slots, stride, blockBytes, data, headers } = remote;
  const isWhole =
    stride >= blockBytes &&
    data.bytes >= (slots - 1) * stride + blockBytes &&
    headers.bytes >= slots * headerBytes;
  if (!isWhole)
    throw new P2pError("BAD_MESSAGE", "the other end's memory is smaller than its slots", {
      hint: "the other side runs something else: use p2pmem on both sides",
    });
}
