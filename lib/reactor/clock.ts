const origin = process.hrtime()[0];

/** Nanoseconds, from where doubles still count them exactly. The cheapest clock there is. */
export function now(): number {
  const time = process.hrtime();
  return (time[0] - origin) * 1e9 + time[1];
}

/** Seconds of the machine's clock; a time of now() on one thread means nothing on another without. */
export function epoch(): number {
  return origin;
}

/** What now() said here, in nanoseconds since `other`, the epoch() of another thread. */
export function since(other: number, time: number): number {
  return (origin - other) * 1e9 + time;
}
