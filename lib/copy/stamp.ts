/**
 * Payload that knows where it belongs: each 512 bytes carry their place and the run's seed, and are
 * otherwise filled from both, so that data which is old, in the wrong place or torn shows as such.
 */

/** Bytes in a stamp, the smallest logical block there is. */
export const STAMP_BYTES = 512;

const WORDS = STAMP_BYTES / 4;
const MAGIC = 0x6d703270; // "p2pm"

/**
 * - `stale`: no stamp of this seed: the data never arrived
 * - `swapped`: a stamp of this seed, of another place
 * - `torn`: begins right, and goes on otherwise
 */
export type StampDefect = "stale" | "swapped" | "torn";

/** Stamps all of `words`; `offset`: bytes from the start of the range to their first. */
export function fillStamps(words: Uint32Array, offset: number, seed: number): void {
  for (let word = 0; word < words.length; word += WORDS)
    fillStamp(words, word, offset + word * 4, seed);
}

function fillStamp(words: Uint32Array, start: number, offset: number, seed: number): void {
  words[start] = MAGIC;
  words[start + 1] = seed;
  words[start + 2] = offset;
  words[start + 3] = offset / 2 ** 32;
  let state = firstState(offset, seed);
  for (let i = start + 4; i < start + WORDS; i++) words[i] = state = nextState(state);
}

/** What is wrong with the stamp that begins at `start`; null where nothing is. */
export function checkStamp(
  words: Uint32Array,
  start: number,
  offset: number,
  seed: number,
): StampDefect | null {
  if (words[start] !== MAGIC || words[start + 1] !== seed >>> 0) return "stale";
  if (words[start + 2] !== offset >>> 0) return "swapped";
  if (words[start + 3] !== Math.floor(offset / 2 ** 32)) return "swapped";
  let state = firstState(offset, seed);
  for (let i = start + 4; i < start + WORDS; i++) {
    state = nextState(state);
    if (words[i] !== state >>> 0) return "torn";
  }
  return null;
}

/** A multiplicative hash keeps neighbouring stamps far apart; never 0, which xorshift cannot leave. */
function firstState(offset: number, seed: number): number {
  return (Math.imul(offset / STAMP_BYTES, 0x9e3779b1) ^ Math.imul(seed, 0x85ebca6b)) | 1;
}

/** Marsaglia's xorshift32. */
function nextState(state: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  return state ^ (state << 5);
}
