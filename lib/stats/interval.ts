/** Bounds that hold the true value with this probability. */
export interface Interval {
  low: number;
  high: number;
  confidence: number;
}

/**
 * The interval of the median between two order statistics. Samples lie below and above the true median
 * like tosses of a coin, whatever their distribution, so the binomial distribution says exactly how
 * often the d-th least and the d-th greatest hold it. With as few samples as a benchmark has that is
 * better than a bootstrap, which can give no value outside of the samples either, and holds what it
 * promises only for many. `confidence` of the result is what the interval has: the narrowest with at
 * least `wanted`, or where there are too few samples for that (five or less for 0.95) least to greatest,
 * with less. Null of less than two samples.
 */
export function medianInterval(values: readonly number[], wanted = 0.95): Interval | null {
  const count = values.length;
  if (count < 2) return null;
  const sorted = Float64Array.from(values).sort();
  const outside = outsideOf(count, wanted);
  return {
    low: sorted[outside.each]!,
    high: sorted[count - 1 - outside.each]!,
    confidence: 1 - 2 * outside.probability,
  };
}

/**
 * How many samples can be left out at each end, and the probability that the median lies there: at most
 * so many of `count` tosses show heads. By logarithms, since 2**-count is 0 from 1075 on.
 */
function outsideOf(count: number, wanted: number): { each: number; probability: number } {
  let logarithm = -count * Math.LN2;
  let outside = { each: 0, probability: Math.exp(logarithm) };
  for (let heads = 1; heads < count / 2; heads++) {
    logarithm += Math.log((count - heads + 1) / heads);
    const probability = outside.probability + Math.exp(logarithm);
    if (1 - 2 * probability < wanted) break;
    outside = { each: heads, probability };
  }
  return outside;
}
