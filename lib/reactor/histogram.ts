/** Values below 2**(PRECISION + 1) have a bucket each; above, 2**PRECISION buckets an octave. */
const PRECISION = 7;
const SUB_BUCKETS = 1 << PRECISION;
/** Values from here on are counted as the largest value below: 2**47 ns are 39 hours. */
const LIMIT = 2 ** 47;
/** Shift that brings values of 2**31 and more into the range of 32-bit integer operations. */
const HIGH_SHIFT = 16;
const BUCKETS = SUB_BUCKETS * (47 - PRECISION + 1);

/** The first elements of the array; the buckets come after. */
const COUNT = 0;
const SUM = 1;
const MIN = 2;
const MAX = 3;
const HEADER = 4;

/**
 * Latencies in nanoseconds, counted in logarithmic octaves of 128 linear buckets each: a percentile
 * is at most 1/128 above the value that was recorded. `record` neither allocates nor calls anything
 * native, so it may stand in the poll loop. All of it lies in one buffer, which may be shared: a
 * reactor records, its owner reads when the reactor has stopped.
 */
export class Histogram {
  static readonly byteLength = (HEADER + BUCKETS) * Float64Array.BYTES_PER_ELEMENT;

  readonly #values: Float64Array;

  /** `buffer`: of {@link Histogram.byteLength} bytes, all zero or filled by another histogram. */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(Histogram.byteLength)) {
    this.#values = new Float64Array(buffer, 0, HEADER + BUCKETS);
  }

  get buffer(): ArrayBufferLike {
    return this.#values.buffer;
  }

  /** Counts one value, whole nanoseconds. */
  record(ns: number): void {
    const values = this.#values;
    const value = ns < 0 ? 0 : ns < LIMIT ? ns : LIMIT - 1;
    if (values[COUNT] === 0 || value < values[MIN]!) values[MIN] = value;
    if (value > values[MAX]!) values[MAX] = value;
    values[COUNT]!++;
    values[SUM]! += value;
    values[HEADER + bucketOf(value)]!++;
  }

  /** Adds what `other` counted. */
  merge(other: Histogram): void {
    if (other.count === 0) return;
    const to = this.#values;
    const from = other.#values;
    to[MIN] = this.count === 0 ? other.min : Math.min(this.min, other.min);
    to[MAX] = Math.max(to[MAX]!, from[MAX]!);
    to[COUNT]! += from[COUNT]!;
    to[SUM]! += from[SUM]!;
    for (let i = HEADER; i < HEADER + BUCKETS; i++) to[i]! += from[i]!;
  }

  /** Forgets what it counted. */
  clear(): void {
    this.#values.fill(0);
  }

  get count(): number {
    return this.#values[COUNT]!;
  }

  /** Exact; NaN where nothing was counted, as of the others below. */
  get min(): number {
    return this.count === 0 ? NaN : this.#values[MIN]!;
  }

  /** Exact. */
  get max(): number {
    return this.count === 0 ? NaN : this.#values[MAX]!;
  }

  /** Exact, but for the rounding of doubles. */
  get mean(): number {
    return this.#values[SUM]! / this.count;
  }

  /**
   * From the middles of the buckets, so that recording needs no squares: off by less than a bucket's
   * width, 1/128 of the values. 0 of one value.
   */
  get stddev(): number {
    const { count, mean } = this;
    if (count === 0) return NaN;
    let squares = 0;
    this.forEachBucket((lowest, highest, inside) => {
      const middle = (Math.max(lowest, this.min) + Math.min(highest, this.max)) / 2;
      squares += inside * (middle - mean) ** 2;
    });
    return Math.sqrt(squares / count);
  }

  /** Calls `tell` for each bucket that counted something, smallest first: its least and largest value. */
  forEachBucket(tell: (lowest: number, highest: number, count: number) => void): void {
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#values[HEADER + bucket]!;
      const lowest = bucket === 0 ? 0 : highestOf(bucket - 1) + 1;
      if (count > 0) tell(lowest, highestOf(bucket), count);
    }
  }

  /** The least value that at least `percent` % of the counted ones do not exceed. */
  percentile(percent: number): number {
    if (this.count === 0) return NaN;
    const values = this.#values;
    // Less a hair, since 99.9 / 100 * 1000 must not be taken for more than 999.
    const rank = Math.max(1, Math.ceil((percent / 100) * this.count - 1e-9 * this.count));
    let seen = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      seen += values[HEADER + bucket]!;
      if (seen >= rank) return Math.max(this.min, Math.min(this.max, highestOf(bucket)));
    }
    return this.max;
  }
}

function bucketOf(value: number): number {
  if (value >= 0x80000000)
    return HIGH_SHIFT * SUB_BUCKETS + smallBucketOf((value / 2 ** HIGH_SHIFT) | 0);
  return smallBucketOf(value | 0);
}

function smallBucketOf(value: number): number {
  if (value < 2 * SUB_BUCKETS) return value;
  const shift = 31 - PRECISION - Math.clz32(value);
  return shift * SUB_BUCKETS + (value >>> shift);
}

/** The largest value that {@link bucketOf} puts there. */
function highestOf(bucket: number): number {
  if (bucket < 2 * SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  return (bucket - shift * SUB_BUCKETS + 1) * 2 ** shift - 1;
}
