import type { Latency } from "../../../bench/report.js";

type Bucket = readonly [lowest: number, highest: number, count: number];

/** Upper ends, not included, of what fio counts apart in each unit. */
const ENDS = [2, 4, 10, 20, 50, 100, 250, 500, 750, 1000];
const LAST_MS = 2000;

interface TotalLatency {
  min: number;
  max: number;
  mean: number;
  stddev: number;
  N: number;
}

/** All 0 where there is none, as in fio's output. */
export function totalLatency(latency: Latency | null, ios: number): TotalLatency {
  if (latency === null) return { min: 0, max: 0, mean: 0, stddev: 0, N: 0 };
  const { min, max, mean, stddev } = latency;
  return { min, max, mean, stddev, N: ios };
}

/** With percentiles, and with bins where the report has its histogram. */
export function completionLatency(latency: Latency | null, ios: number): object {
  const total = totalLatency(latency, ios);
  if (latency === null) return total;
  const percentile = Object.fromEntries(
    Object.entries(latency.percentile)
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([percent, value]) => [Number(percent).toFixed(6), value]),
  );
  return {
    ...total,
    percentile,
    ...(latency.histogram === undefined ? {} : { bins: binsOf(latency.histogram) }),
  };
}

/** By the middles of the buckets, as fio names its bins. */
function binsOf(histogram: readonly Bucket[]): Record<string, number> {
  return Object.fromEntries(histogram.map((bucket) => [String(middleOf(bucket)), bucket[2]]));
}

function middleOf([lowest, highest]: Bucket): number {
  return lowest + Math.floor((highest - lowest + 1) / 2);
}

type Shares = Record<"latency_ns" | "latency_us" | "latency_ms", Record<string, number>>;

/** Percent of the I/Os in fio's coarse classes; a bucket counts where its middle lies. */
export function latencyShares(histogram: readonly Bucket[]): Shares {
  const empty = (): Record<string, number> => Object.fromEntries(ENDS.map((end) => [end, 0]));
  const shares: Shares = {
    latency_ns: empty(),
    latency_us: empty(),
    latency_ms: { ...empty(), [String(LAST_MS)]: 0, [`>=${LAST_MS}`]: 0 },
  };
  const total = histogram.reduce((sum, [, , count]) => sum + count, 0);
  for (const bucket of histogram) {
    const [unit, name] = classOf(middleOf(bucket));
    shares[unit][name]! += (100 * bucket[2]) / total;
  }
  return shares;
}

function classOf(ns: number): [keyof Shares, string] {
  const within = (value: number): string => String(ENDS.find((end) => value < end));
  if (ns < 1e3) return ["latency_ns", within(ns)];
  if (ns < 1e6) return ["latency_us", within(ns / 1e3)];
  if (ns < 1e9) return ["latency_ms", within(ns / 1e6)];
  return ["latency_ms", ns < LAST_MS * 1e6 ? String(LAST_MS) : `>=${LAST_MS}`];
}
