import type { DmaVector } from "../../sgl/dma-vector.js";
import { P2pError } from "../../errors.js";
import { PAGE } from "../spec.js";

/** Memory for PRP and SGL lists: contiguous for the device too. A DmaBuffer is one. */
export interface ListMemory {
  readonly buffer: ArrayBuffer;
  readonly iova: number;
}

/**
 * Bytes to set aside for a list of so many entries: none for one, which the command itself holds.
 * Lists packed at multiples of it in page-aligned memory fit: none crosses a page that it need not,
 * and the last entry of each page but the last leads to the next.
 */
export function listRoom(entries: number, entryBytes: number): number {
  const perPage = PAGE / entryBytes;
  if (entries <= 1) return 0;
  if (entries <= perPage) return 2 ** Math.ceil(Math.log2(entries)) * entryBytes;
  return Math.ceil((entries - 1) / (perPage - 1)) * PAGE;
}

/** Errors: BAD_RANGE, where the vector has no such bytes. */
export function checkPart(vector: DmaVector, offset: number, length: number): void {
  if (length <= 0 || offset < 0 || offset + length > vector.byteLength)
    throw new P2pError(
      "BAD_RANGE",
      `bytes ${offset} to ${offset + length} are not in a buffer of ${vector.byteLength} bytes`,
    );
}

export function listTooSmall(): P2pError {
  return new P2pError("BAD_RANGE", "a PRP or SGL list does not fit in the room it was given");
}
