/** What stands for a figure that nobody knows. */
export const UNKNOWN = "unknown";

/** Bytes a second, as the vendors of drives write them: `3.42 GB/s`. */
export function bandwidth(bytes: number | null): string {
  return scaled(bytes, 1000, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);
}

/** I/Os a second: `812 k`. */
export function ioRate(iops: number | null): string {
  return scaled(iops, 1000, ["", "k", "M", "G"]);
}

/** `12.3 µs`, of nanoseconds. */
export function time(ns: number | null): string {
  return scaled(ns, 1000, ["ns", "µs", "ms", "s"]);
}

/** `1.42×` */
export function ratio(value: number | null): string {
  return isKnown(value) ? `${digits(value)}×` : UNKNOWN;
}

/** Of a part of 1: `+12 %`. */
export function change(part: number | null): string {
  if (!isKnown(part)) return UNKNOWN;
  const percent = Math.abs(100 * part);
  const sign = part < 0 ? "−" : "+";
  return percent < 0.05
    ? "0 %"
    : `${sign}${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** Three digits, and all of those before the point. */
export function digits(value: number | null): string {
  if (!isKnown(value)) return UNKNOWN;
  if (value === 0) return "0";
  // 0.9996 is 1.00, not 1.000.
  const rounded = Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : value;
  const before = Math.floor(Math.log10(Math.abs(rounded))) + 1;
  return rounded.toFixed(Math.min(Math.max(3 - before, 0), 4));
}

/** `42` of 100, `0.5`; with the sign. */
export function percent(value: number | null): string {
  return isKnown(value) ? `${value < 10 ? value.toFixed(1) : value.toFixed(0)} %` : UNKNOWN;
}

export function count(value: number | null): string {
  return isKnown(value) ? value.toLocaleString("en") : UNKNOWN;
}

/** Not null, and no division by nothing either. */
export function isKnown(value: number | null | undefined): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** One divided by the other; null where that is not known. */
export function quotient(value: number | null, by: number | null): number | null {
  if (!isKnown(value) || !isKnown(by) || by === 0) return null;
  return value / by;
}

function scaled(value: number | null, step: number, units: readonly string[]): string {
  if (!isKnown(value)) return UNKNOWN;
  let unit = 0;
  // What would be rounded to 1000 of a unit is 1 of the next.
  while (Math.abs(value) >= step - 0.5 && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${digits(value)} ${units[unit]!}`.trimEnd();
}
