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

/** The halves of the nanoseconds that `origin` is. */
const HIGH = 2 ** 32;
const originHigh = Math.floor((origin * 1e9) / HIGH);
const originLow = origin * 1e9 - originHigh * HIGH;

/** One reading, as a BigInt and by its halves. */
const reading = new BigInt64Array(1);
const halves = new Uint32Array(reading.buffer);

/**
 * The same into the first element of `clock`, without garbage. now() makes some with each call: the
 * pair that it reads, and the number that it returns, which is too large for V8 to pass in a register.
 * A BigInt that only goes from one typed array to another is never made.
 */
export function tick(clock: Float64Array): void {
  reading[0] = process.hrtime.bigint();
  readTime(halves, clock);
}

/** The same of a time that is known already: both halves of nanoseconds of CLOCK_MONOTONIC. */
export function readTime(time: Uint32Array, clock: Float64Array): void {
  clock[0] = (time[1]! - originHigh) * HIGH + (time[0]! - originLow);
}
