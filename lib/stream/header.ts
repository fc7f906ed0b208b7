/**
 * What arrives in a destination's table beside a block, by a write of its own with the slot's number as
 * its immediate: eight words, little-endian.
 */
export const HEADER_BYTES = 32;
export const HEADER_WORDS = HEADER_BYTES / 4;

/** Where the words are; the rest is 0. */
export const HEADER_KIND = 0;
export const HEADER_SLOT = 1;
/** Two words: of a block its number in the range, of an end how many blocks there were. */
export const HEADER_NUMBER = 2;
/** Of the block. */
export const HEADER_LENGTH = 4;

const MAGIC = 0x5332_5000; // "P2S"

export const HeaderKind = {
  BLOCK: MAGIC | 1,
  /** What comes from now on counts; what came before was to warm up. */
  BEGIN: MAGIC | 2,
  END: MAGIC | 3,
} as const;

/** Headers of a stream that counts, beside those of its blocks: begin and end. */
export const STREAM_WORDS = 2;

/** Of two words. */
export const HIGH = 2 ** 32;
