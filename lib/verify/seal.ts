import { addon } from "../addon.js";
import { SEALED_HEAD_WORDS, SEALED_MAGIC, fillStamps, isOf } from "./stamp.js";

/**
 * A block that can be checked without knowing what it should hold, as fio's verify headers make it:
 * stamps, of which the first has another magic, and after the place the block's length in bytes and the
 * CRC-32C of all that follows.
 */
const LENGTH_WORD = 4;
const CRC_WORD = 5;

/** All bytes of some memory, and the same as 32-bit words. */
export interface Bytes {
  bytes: Uint8Array;
  words: Uint32Array;
}

/** Fills a block of `length` bytes from `start` on. `offset`: of the block, from the range's start. */
export function sealBlock(
  { bytes, words }: Bytes,
  start: number,
  length: number,
  offset: number,
  seed: number,
): void {
  const head = start / 4;
  fillStamps(words.subarray(head, head + length / 4), offset, seed);
  words[head] = SEALED_MAGIC;
  words[head + LENGTH_WORD] = length;
  words[head + CRC_WORD] = crcOf(bytes, start, length);
}

/** Whether the block is whole, and the one that belongs there. */
export function isSealed(
  { bytes, words }: Bytes,
  start: number,
  length: number,
  offset: number,
  seed: number,
): boolean {
  const head = start / 4;
  return (
    words[head] === SEALED_MAGIC &&
    isOf(words, head, offset, seed) &&
    words[head + LENGTH_WORD] === length &&
    words[head + CRC_WORD] === crcOf(bytes, start, length)
  );
}

function crcOf(bytes: Uint8Array, start: number, length: number): number {
  return addon().crc32c(bytes.subarray(start + SEALED_HEAD_WORDS * 4, start + length));
}
