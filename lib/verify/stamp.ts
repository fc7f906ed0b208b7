/**
 * Payload that knows where it belongs: each 512 bytes carry their place and the run's seed, and are
 * otherwise filled from both, so that data which is old, in the wrong place or torn shows as such.
 */

/** Bytes in a stamp, the smallest logical block there is. */
export const STAMP_BYTES = 512;

/** 32-bit words of a stamp, of its head (magic, seed, place), and of that of a sealed block. */
const WORDS = STAMP_BYTES / 4;
const HEAD_WORDS = 4;
export const SEALED_HEAD_WORDS = 6;

const MAGIC = 0x6d703270; // "p2pm"
/** In the first stamp of a block that carries its length and a checksum as well: see seal.ts. */
export const SEALED_MAGIC = 0x63703270; // "p2pc"

/** Where data belongs, as its stamp says: bytes from the start of the range, and the run's seed. */
export interface Origin {
  offset: number;
  seed: number;
}

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
  for (let i = start + HEAD_WORDS; i < start + WORDS; i++) words[i] = state = nextState(state);
}

/** Whether the `count` words from `start` on are the stamps of `offset` on. */
export function areStamps(
  words: Uint32Array,
  start: number,
  count: number,
  offset: number,
  seed: number,
): boolean {
  for (let word = 0; word < count; word += WORDS) {
    const at = start + word;
    if (words[at] !== MAGIC || !isOf(words, at, offset + word * 4, seed)) return false;
    if (!hasBody(words, at, HEAD_WORDS, offset + word * 4, seed)) return false;
  }
  return true;
}

/** What the stamp that begins at `start` says; null where there is none that is whole. */
export function readStamp(words: Uint32Array, start: number): Origin | null {
  const isSealed = words[start] === SEALED_MAGIC;
  if (!isSealed && words[start] !== MAGIC) return null;
  const seed = words[start + 1]!;
  const offset = words[start + 2]! + words[start + 3]! * 2 ** 32;
  const head = isSealed ? SEALED_HEAD_WORDS : HEAD_WORDS;
  const isWhole = offset % STAMP_BYTES === 0 && hasBody(words, start, head, offset, seed);
  return isWhole ? { offset, seed } : null;
}

/**
 * The place that some head of the run among `bytes` says, at any byte: bytes from the start of the range
 * to the stamp; null where there is none.
 */
export function findHead(bytes: Uint8Array, seed: number): number | null {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const magic of [MAGIC, SEALED_MAGIC]) {
    const found = text.indexOf(Buffer.from(Uint32Array.of(magic, seed).buffer));
    if (found >= 0 && found + HEAD_WORDS * 4 <= bytes.length)
      return text.readUInt32LE(found + 8) + text.readUInt32LE(found + 12) * 2 ** 32;
  }
  return null;
}

/** Whether the head at `start`, whichever magic it has, is of this place and run. */
export function isOf(words: Uint32Array, start: number, offset: number, seed: number): boolean {
  return (
    words[start + 1] === seed >>> 0 &&
    words[start + 2] === offset >>> 0 &&
    words[start + 3] === Math.floor(offset / 2 ** 32)
  );
}

/** Whether all words but the first `head` are what place and seed make them. */
function hasBody(
  words: Uint32Array,
  start: number,
  head: number,
  offset: number,
  seed: number,
): boolean {
  let state = firstState(offset, seed);
  for (let i = start + HEAD_WORDS; i < start + WORDS; i++) {
    state = nextState(state);
    if (words[i] !== state >>> 0 && i >= start + head) return false;
  }
  return true;
}

/** A multiplicative hash keeps neighbouring stamps far apart; never 0, which xorshift cannot leave. */
function firstState(offset: number, seed: number): number {
  const place = offset / STAMP_BYTES;
  const high = Math.imul(place / 2 ** 32, 0xc2b2ae35);
  return (Math.imul(place, 0x9e3779b1) ^ high ^ Math.imul(seed, 0x85ebca6b)) | 1;
}

/** Marsaglia's xorshift32. */
function nextState(state: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  return state ^ (state << 5);
}
