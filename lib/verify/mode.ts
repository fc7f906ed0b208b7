/**
 * How to tell that data arrived: `pattern` compares each 512 bytes with what the seed and their place
 * make them; `crc32c` checks a checksum that each block carries; `memcmp` compares with the source.
 */
export const VERIFY_MODES = ["crc32c", "pattern", "memcmp"] as const;
export type VerifyMode = (typeof VERIFY_MODES)[number];

/** Of data that is marked before it is copied or written. */
export type MarkMode = Exclude<VerifyMode, "memcmp">;
