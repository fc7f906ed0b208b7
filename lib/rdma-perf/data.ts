/** What messages bear, where the CPU reaches their memory, so that it can be seen that it has come. */
import { P2pError } from "../errors.js";

/** Other words at each place, and for each seed; the multiplier is 2**32 over the golden ratio. */
function wordAt(seed: number, index: number): number {
  return Math.imul(seed + index + 1, 0x9e37_79b1);
}

/** `offset`, `length`: bytes; whole words are filled. */
export function fill(buffer: ArrayBuffer, offset: number, length: number, seed: number): void {
  const words = new Int32Array(buffer, offset, Math.ceil(length / 4));
  for (let i = 0; i < words.length; i++) words[i] = wordAt(seed, i);
}

/**
 * The first byte from `offset` on that is not what fill() writes, counted from there; -1: all are.
 */
export function firstDifference(
  buffer: ArrayBuffer,
  offset: number,
  length: number,
  seed: number,
): number {
  const whole = length >> 2;
  const words = new Int32Array(buffer, offset, whole);
  for (let i = 0; i < whole; i++)
    if (words[i] !== wordAt(seed, i)) return 4 * i + differingByte(words[i]!, wordAt(seed, i), 4);
  const bytes = new Uint8Array(buffer, offset + 4 * whole, length - 4 * whole);
  const last = bytes.reduce((word, byte, n) => word | (byte << (8 * n)), 0);
  const byte = differingByte(last, wordAt(seed, whole), bytes.length);
  return byte < 0 ? -1 : 4 * whole + byte;
}

/** Of two words, the first of so many bytes; -1: none. */
function differingByte(a: number, b: number, bytes: number): number {
  for (let n = 0; n < bytes; n++) if (((a ^ b) >>> (8 * n)) & 0xff) return n;
  return -1;
}

export function wrongData(size: number, lane: number, byte: number): P2pError {
  return new P2pError(
    "WRONG_DATA",
    `messages of ${size} bytes completed without an error, but byte ${byte} on queue pair ` +
      `${lane + 1} is not what was sent`,
    { hint: "with --mr odp, try --mr host: the device may lose what it cannot page in" },
  );
}
