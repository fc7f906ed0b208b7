import { median } from "./median.js";

/** Up to so many samples without ties the probability is exact; the distribution is a table of n²/2. */
const MOST_EXACT = 20;

/**
 * The slope of the line that fits best, after Theil and Sen: the median of the slopes between all pairs
 * of samples, which a few outliers do not move. NaN of less than two samples, or all at one time.
 */
export function theilSenSlope(times: readonly number[], values: readonly number[]): number {
  const slopes: number[] = [];
  for (let b = 1; b < times.length; b++)
    for (let a = 0; a < b; a++) {
      const time = times[b]! - times[a]!;
      if (time !== 0) slopes.push((values[b]! - values[a]!) / time);
    }
  return median(slopes);
}

/**
 * How likely samples without a trend would rise or fall at least so steadily (Mann and Kendall's test,
 * two-sided): exact up to 20 samples without ties, by the normal approximation else. 1 of less than two.
 */
export function trendProbability(values: readonly number[]): number {
  const count = values.length;
  let score = 0;
  for (let b = 1; b < count; b++)
    for (let a = 0; a < b; a++) score += Math.sign(values[b]! - values[a]!);
  const steps = Math.abs(score);
  if (steps === 0) return 1;
  const ties = tiesOf(values);
  return count <= MOST_EXACT && ties.length === 0
    ? exactProbability(count, steps)
    : normalProbability(count, steps, ties);
}

/** The sizes of the groups of equal samples. */
function tiesOf(values: readonly number[]): number[] {
  const groups = new Map<number, number>();
  for (const value of values) groups.set(value, (groups.get(value) ?? 0) + 1);
  return [...groups.values()].filter((size) => size > 1);
}

/**
 * Of all orders of the samples, the share with so many inversions or less, twice: a score of `steps`
 * means (pairs - steps) / 2 inversions.
 */
function exactProbability(count: number, steps: number): number {
  const pairs = (count * (count - 1)) / 2;
  const most = (pairs - steps) / 2;
  // The n-th sample stands before 0 to n - 1 of those before it, each equally likely.
  let shares = [1];
  for (let n = 2; n <= count; n++) {
    const next = new Array<number>(Math.min(most, (n * (n - 1)) / 2) + 1).fill(0);
    for (let inversions = 0; inversions < next.length; inversions++)
      for (let added = 0; added < n && added <= inversions; added++)
        next[inversions]! += (shares[inversions - added] ?? 0) / n;
    shares = next;
  }
  return Math.min(1, 2 * shares.reduce((sum, share) => sum + share, 0));
}

/** With the variance lessened for ties, and half a step (of two) of continuity. */
function normalProbability(count: number, steps: number, ties: readonly number[]): number {
  const spread = (n: number): number => n * (n - 1) * (2 * n + 5);
  const variance = (spread(count) - ties.reduce((sum, size) => sum + spread(size), 0)) / 18;
  return variance === 0 ? 1 : 2 * normalTail((steps - 1) / Math.sqrt(variance));
}

/** The share of the normal distribution beyond `z` of 0 or more: Abramowitz and Stegun 26.2.17, to 1e-7. */
function normalTail(z: number): number {
  const t = 1 / (1 + 0.2316419 * z);
  const polynomial =
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * polynomial;
}
