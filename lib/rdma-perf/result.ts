import { roundTripDivisor, type RdmaPerfPlan } from "./plan.js";
import type { SizeResult } from "./side.js";

/** What was measured of messages of one size. Bytes, nanoseconds; unknown is null. */
export interface RdmaPerfRow {
  bytes: number;
  /** Messages that counted, of all queue pairs. */
  iterations: number;
  runtime_ns: number;
  /** A second; null of latency, the peak also where none was looked for. */
  bw_peak_bytes: number | null;
  bw_bytes: number | null;
  /** Messages a second; of latency, round trips. */
  msg_rate: number;
  /** Null of bandwidth. Half of a round trip, of reads all of it, without the two longest: see latencyOf(). */
  lat_ns: RdmaPerfLatency | null;
  /** Whether this side has compared the data, which is right; null: it has not. */
  verified: true | null;
}

/** Of a test that a time ended only the mean is known. */
export interface RdmaPerfLatency {
  min: number | null;
  max: number | null;
  /** The median. */
  typical: number | null;
  mean: number;
  stddev: number | null;
  percentile: { "99": number | null; "99.9": number | null };
}

export function rowOf(plan: RdmaPerfPlan, { size, measured, verified }: SizeResult): RdmaPerfRow {
  const { messages, runtimeNs, shortestNs } = measured;
  const isBandwidth = plan.measure === "bw";
  const rate = messages / (runtimeNs / 1e9);
  return {
    bytes: size,
    iterations: messages,
    runtime_ns: runtimeNs,
    bw_peak_bytes: shortestNs === null ? null : size / (shortestNs / 1e9),
    bw_bytes: isBandwidth ? size * rate : null,
    msg_rate: rate,
    lat_ns: isBandwidth ? null : latencyRow(plan, measured),
    verified,
  };
}

function latencyRow(
  plan: RdmaPerfPlan,
  { latency, messages, runtimeNs }: SizeResult["measured"],
): RdmaPerfLatency {
  return {
    min: latency?.min ?? null,
    max: latency?.max ?? null,
    typical: latency?.typical ?? null,
    mean: latency?.mean ?? runtimeNs / messages / roundTripDivisor(plan),
    stddev: latency?.stddev ?? null,
    percentile: { "99": latency?.p99 ?? null, "99.9": latency?.p99_9 ?? null },
  };
}
