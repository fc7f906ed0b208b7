import { isKnown } from "../../report/quantities.js";

/** What stands for a number that is not known. */
export const UNKNOWN = "?";

type Figure = number | null | undefined;

export function fixed(value: Figure, digits: number): string {
  return isKnown(value) ? value.toFixed(digits) : UNKNOWN;
}

/** GB of bytes: two digits behind the point, or where that would be 0.0 something, two that count. */
export function gigabytes(bytes: Figure): string {
  if (!isKnown(bytes)) return UNKNOWN;
  const value = bytes / 1e9;
  return value >= 0.1 || value === 0 ? fixed(value, 2) : value.toPrecision(2);
}

/** `980`, `12.3k`, `1.45M`. */
export function thousands(value: Figure): string {
  if (!isKnown(value)) return UNKNOWN;
  if (value >= 1e6) return `${fixed(value / 1e6, 2)}M`;
  return value < 10_000 ? fixed(value, 0) : `${fixed(value / 1000, 1)}k`;
}

export function microseconds(ns: Figure): string {
  return isKnown(ns) ? fixed(ns / 1000, ns < 1e6 ? 1 : 0) : UNKNOWN;
}

export function ratio(part: Figure, of: Figure): string {
  return isKnown(part) && isKnown(of) ? fixed(part / of, 2) : UNKNOWN;
}
