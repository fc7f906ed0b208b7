/** Nanoseconds. */
export interface LatencyFigures {
  readonly min: number;
  readonly max: number;
  /** The median. */
  readonly typical: number;
  readonly mean: number;
  readonly stddev: number;
  readonly p99: number;
  readonly p99_9: number;
}

/**
 * The longest of all that perftest leaves out of every figure: what they hold is the scheduler's, such as
 * the first time that code runs.
 */
const TAIL = 2;

/**
 * As perftest's print_report_lat() has it, figure by figure, so that both can be compared: what lies
 * between one posting and the next is a round trip, of which `divisor` 2 makes half; `max` is the second
 * longest. `posted`: at least 5 times, nanoseconds.
 */
export function latencyOf(posted: Float64Array, divisor: 1 | 2): LatencyFigures {
  const trips = new Float64Array(posted.length - 1);
  for (let i = 0; i < trips.length; i++) trips[i] = (posted[i + 1]! - posted[i]!) / divisor;
  trips.sort();
  const count = trips.length - TAIL;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += trips[i]!;
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (trips[i]! - mean) ** 2;
  const middle = count >> 1;
  return {
    min: trips[0]!,
    max: trips[count]!,
    typical: count % 2 === 1 ? trips[middle]! : (trips[middle]! + trips[middle - 1]!) / 2,
    mean,
    stddev: Math.sqrt(squares / count),
    p99: trips[Math.ceil(count * 0.99)]!,
    p99_9: trips[Math.ceil(count * 0.999)]!,
  };
}
