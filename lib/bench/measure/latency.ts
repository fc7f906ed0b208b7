import type { Histogram } from "../../reactor/histogram.js";
import type { Latency } from "../report.js";

/** Null where nothing was counted. `buckets`: with the histogram itself. */
export function latencyOf(
  histogram: Histogram,
  percentiles: readonly number[],
  buckets: boolean,
): Latency | null {
  if (histogram.count === 0) return null;
  const { min, mean, stddev, max } = histogram;
  return {
    min,
    mean,
    stddev,
    max,
    percentile: Object.fromEntries(percentiles.map((p) => [String(p), histogram.percentile(p)])),
    ...(buckets ? { histogram: bucketsOf(histogram) } : {}),
  };
}

function bucketsOf(histogram: Histogram): [number, number, number][] {
  const buckets: [number, number, number][] = [];
  histogram.forEachBucket((lowest, highest, count) => buckets.push([lowest, highest, count]));
  return buckets;
}
