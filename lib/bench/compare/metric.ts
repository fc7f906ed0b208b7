import { bootstrapInterval } from "../../stats/bootstrap.js";
import { median, medianOfSorted } from "../../stats/median.js";
import type { BenchResult } from "../report.js";

/** `unknown`: too few samples, or a figure that is not known. */
export type Verdict = "better" | "worse" | "within noise" | "unknown";

/** One figure of a result, old and new. */
export interface MetricComparison {
  /** Medians of the samples. */
  old: number | null;
  new: number | null;
  /** New divided by old. */
  ratio: number | null;
  /** What the ratio lies within, with the comparison's confidence; null: not known. */
  ratio_ci: [number, number] | null;
  verdict: Verdict;
  /** The whole interval is worse than the tolerance allows. */
  beyond_tolerance: boolean;
}

export type MetricName = "bw_bytes" | "iops" | "lat_mean_ns" | "cpu_busy_ns_per_block";

/** What is compared, and which way is better. */
export const METRICS: Record<MetricName, { better: "higher" | "lower" }> = {
  bw_bytes: { better: "higher" },
  iops: { better: "higher" },
  lat_mean_ns: { better: "lower" },
  cpu_busy_ns_per_block: { better: "lower" },
};

export const CONFIDENCE = 0.95;

/** Less say nothing: of two against two all are in one order by chance in every third case. */
const FEWEST_SAMPLES = 3;

/** `tolerance`: 0.05 lets a figure be worse by 5 %. */
export function compareMetric(
  name: MetricName,
  old: BenchResult,
  now: BenchResult,
  tolerance: number,
): MetricComparison {
  const [before, after] = [figuresOf(name, old), figuresOf(name, now)];
  const ratio = before.value && after.value !== null ? after.value / before.value : null;
  const interval = ratio === null ? null : ratioInterval(before.samples, after.samples);
  return {
    old: before.value,
    new: after.value,
    ratio,
    ratio_ci: interval,
    ...judge(name, interval, tolerance),
  };
}

function judge(
  name: MetricName,
  interval: [number, number] | null,
  tolerance: number,
): Pick<MetricComparison, "verdict" | "beyond_tolerance"> {
  if (interval === null) return { verdict: "unknown", beyond_tolerance: false };
  const [low, high] = interval;
  if (low <= 1 && high >= 1) return { verdict: "within noise", beyond_tolerance: false };
  const isHigher = low > 1;
  const isBetter = isHigher === (METRICS[name].better === "higher");
  const isBeyond = isHigher ? low > 1 + tolerance : high < 1 - tolerance;
  return {
    verdict: isBetter ? "better" : "worse",
    beyond_tolerance: !isBetter && isBeyond,
  };
}

/** Of the ratio of the medians, new to old. */
function ratioInterval(old: readonly number[], now: readonly number[]): [number, number] | null {
  if (Math.min(old.length, now.length) < FEWEST_SAMPLES) return null;
  const interval = bootstrapInterval(
    [old, now],
    ([before, after]) => medianOfSorted(after!) / medianOfSorted(before!),
    { confidence: CONFIDENCE },
  );
  const isNumber = interval !== null && Number.isFinite(interval.low + interval.high);
  return isNumber ? [interval.low, interval.high] : null;
}

/** The samples, and their median. */
function figuresOf(
  name: MetricName,
  { samples }: BenchResult,
): { samples: readonly number[]; value: number | null } {
  // In JSON a figure that could not be computed is null.
  const all: readonly (number | null)[] =
    name === "cpu_busy_ns_per_block" ? samples.cpu.busy_ns_per_block : samples[name];
  const known = all.filter((value) => value !== null);
  return { samples: known, value: known.length === 0 ? null : median(known) };
}
