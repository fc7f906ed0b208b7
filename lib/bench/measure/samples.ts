import { medianInterval } from "../../stats/interval.js";
import { median } from "../../stats/median.js";
import { theilSenSlope } from "../../stats/trend.js";
import type { CpuFigures, Samples } from "../report.js";

/** What is wanted of the intervals; few samples give less, and the report says which. */
const CONFIDENCE = 0.95;

/** One sample's figures. */
export interface SampleFigures {
  /** Begin, in seconds since the report's. */
  at: number;
  bandwidth: number;
  iops: number;
  /** Nanoseconds; NaN where no latency was recorded. */
  latency: number;
  cpu: CpuFigures;
}

export function samplesOf(figures: readonly SampleFigures[]): Samples {
  const at = figures.map((each) => each.at);
  const bandwidths = figures.map(({ bandwidth }) => bandwidth);
  const iops = figures.map((each) => each.iops);
  const interval = medianInterval(bandwidths, CONFIDENCE);
  const ofIops = medianInterval(iops, CONFIDENCE);
  return {
    at_s: at,
    bw_bytes: bandwidths,
    iops,
    lat_mean_ns: figures.map(({ latency }) => latency),
    cpu: {
      usr_pct: figures.map(({ cpu }) => cpu.usr_pct),
      sys_pct: figures.map(({ cpu }) => cpu.sys_pct),
      busy_ns_per_block: figures.map(({ cpu }) => cpu.busy_ns_per_block),
      device_ns_per_block: figures.map(({ cpu }) => cpu.device_ns_per_block),
    },
    confidence: interval?.confidence ?? CONFIDENCE,
    bw_bytes_ci: interval && [interval.low, interval.high],
    iops_ci: ofIops && [ofIops.low, ofIops.high],
    drift: driftOf(at, bandwidths),
  };
}

/** As a part of the median, along the line that fits best; null of less than three samples. */
function driftOf(at: readonly number[], values: readonly number[]): number | null {
  if (values.length < 3) return null;
  const drift = (theilSenSlope(at, values) * (at.at(-1)! - at[0]!)) / median(values);
  return Number.isFinite(drift) ? drift : null;
}
