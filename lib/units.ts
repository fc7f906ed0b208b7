import { P2pError } from "./errors.js";

const UNITS = ["", "k", "m", "g", "t"];
const NAMES = ["B", "KiB", "MiB", "GiB", "TiB"];

/**
 * Bytes from a size as fio writes it: digits, then k, m, g or t (1024-based), which may be followed
 * by `b` or `ib`, in either case. `4096`, `4k`, `4K`, `4KiB` are the same. Zero is a size here; who
 * cannot use it says so. Errors: BAD_SIZE.
 */
export function parseSize(text: string): number {
  const match = /^(\d+) ?(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim());
  if (match === null)
    throw new P2pError("BAD_SIZE", `"${text}" is not a size`, {
      hint: "write bytes, or a number with k, m, g or t: 4096, 128k, 1g",
    });
  const size = Number(match[1]) * 1024 ** UNITS.indexOf((match[2] ?? "").toLowerCase());
  if (!Number.isSafeInteger(size)) throw new P2pError("BAD_SIZE", `"${text}" is too large a size`);
  return size;
}

/** The same size in as few digits as are exact, as fio and {@link parseSize} read it: `128k`. */
export function shortSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value > 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value}${UNITS[unit]}`;
}

/**
 * A size for people, in the largest unit that leaves at least 1, to two
 * decimals: `4 KiB`, `1.5 GiB`.
 */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < NAMES.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? value : Number(value.toFixed(2))} ${NAMES[unit]}`;
}

/** Also of what is too large for bit operations; false of fractions. */
export function isPowerOfTwo(value: number): boolean {
  return value >= 1 && Number.isSafeInteger(value) && 2 ** Math.round(Math.log2(value)) === value;
}

/** `1 group`, `2 groups`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/** Of a number of bytes, or a text as parseSize() takes it. Errors: BAD_SIZE. */
export function bytesOf(size: string | number): number {
  if (typeof size === "string") return parseSize(size);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new P2pError("BAD_SIZE", `${size} is not a size`, {
    hint: "give whole bytes, or a text such as 128k",
  });
}
