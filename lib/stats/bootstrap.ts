import type { Interval } from "./interval.js";
import { randomNumbers } from "./random-numbers.js";

export interface BootstrapOptions {
  /** Default: 0.95. */
  confidence?: number;
  /** The same interval for the same seed, 32 bits. Default: 1. */
  seed?: number;
  /** Default: 2000. */
  resamples?: number;
}

/**
 * The percentile bootstrap: how far `statistic` varies where each group of samples is drawn again from
 * itself, with replacement. For what has no exact interval, such as the ratio of two medians (for one
 * median see medianInterval()). `statistic` gets the groups in their order, sorted, and must not keep
 * them. Null where a group has less than two samples, or where the statistic is no number.
 */
export function bootstrapInterval(
  groups: readonly (readonly number[])[],
  statistic: (drawn: readonly Float64Array[]) => number,
  { confidence = 0.95, seed = 1, resamples = 2000 }: BootstrapOptions = {},
): Interval | null {
  if (groups.some(({ length }) => length < 2)) return null;
  const random = randomNumbers(seed);
  const drawn = groups.map(({ length }) => new Float64Array(length));
  const results = new Float64Array(resamples);
  for (let round = 0; round < resamples; round++) {
    for (const [index, group] of groups.entries()) {
      const into = drawn[index]!;
      for (let i = 0; i < into.length; i++) into[i] = group[Math.floor(random() * group.length)]!;
      into.sort();
    }
    results[round] = statistic(drawn);
  }
  if (results.some((value) => Number.isNaN(value))) return null;
  results.sort();
  const outside = Math.floor(((1 - confidence) / 2) * resamples);
  return { low: results[outside]!, high: results[resamples - 1 - outside]!, confidence };
}
