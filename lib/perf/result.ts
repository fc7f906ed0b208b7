import { formatEndpoint } from "../copy/endpoint.js";
import type { CpuTime } from "../reactor/reactor.js";
import { Histogram } from "../reactor/histogram.js";
import type { CheckedTarget } from "./check.js";
import type { PerfOutcome } from "./job.js";
import { readPercentOf, type PerfPlan } from "./plan.js";
import type { ThreadSetup } from "./setup.js";

/** What one thread's I/Os to one target took, or all of them together. */
export interface PerfPart {
  /** The endpoint; null of all together. */
  target: string | null;
  /** Where its thread was pinned; null where it was not, and of all together. */
  cpu: number | null;
  /** How its commands say where their data is; null of all together. */
  descriptors: "prp" | "sgl" | null;
  runtimeNs: number;
  /** Submission to completion of each I/O; its count is that of the I/Os. */
  latency: Histogram;
  reads: Histogram;
  writes: Histogram;
}

/** What one thread did, apart from its I/Os: `busyNs` leaves out the polls that found nothing. */
export interface PerfThread {
  cpu: number | null;
  ios: number;
  runtimeNs: number;
  busyNs: number;
  /** Of the time with the warm-up. */
  elapsedNs: number;
  userNs: number;
  systemNs: number;
}

/** What one run of a plan gave. */
export interface PerfMeasurement {
  parts: PerfPart[];
  total: PerfPart;
  threads: PerfThread[];
}

export function measurementOf(
  targets: readonly CheckedTarget[],
  setups: readonly ThreadSetup[],
  outcomes: readonly PerfOutcome[],
  cpu: readonly CpuTime[],
): PerfMeasurement {
  const parts = setups.flatMap(({ job, latency }, thread) =>
    latency.map(({ read, write }, index): PerfPart => ({
      target: formatEndpoint(targets[index]!.endpoint),
      cpu: job.cpu,
      descriptors: job.targets[index]!.lanes[0]!.flags === 0 ? "prp" : "sgl",
      runtimeNs: outcomes[thread]!.runtimeNs,
      latency: merged([read, write]),
      reads: read,
      writes: write,
    })),
  );
  const threads = outcomes.map((outcome, index) => ({
    cpu: setups[index]!.job.cpu,
    ios: setups[index]!.latency.reduce((sum, { read, write }) => sum + read.count + write.count, 0),
    runtimeNs: outcome.runtimeNs,
    busyNs: outcome.busyNs,
    elapsedNs: outcome.elapsedNs,
    ...cpu[index]!,
  }));
  const total: PerfPart = {
    target: null,
    cpu: null,
    descriptors: null,
    // They begin together, and end together but for what is in flight.
    runtimeNs: Math.max(...outcomes.map(({ runtimeNs }) => runtimeNs)),
    latency: merged(parts.map(({ latency }) => latency)),
    reads: merged(parts.map(({ reads }) => reads)),
    writes: merged(parts.map(({ writes }) => writes)),
  };
  return { parts, total, threads };
}

function merged(histograms: readonly Histogram[]): Histogram {
  const all = new Histogram();
  for (const histogram of histograms) all.merge(histogram);
  return all;
}

/** Latencies of I/Os, for programs; null where there were none. */
export interface LatencyResult {
  min: number;
  mean: number;
  max: number;
  percentile: Record<string, number>;
}

export interface PerfRow {
  /** `BDF/NSID`, with the range if one was named; null of all together. */
  target: string | null;
  cpu: number | null;
  /** What its commands used; null of all together. */
  descriptors: "prp" | "sgl" | null;
  runtime_ns: number;
  ios: number;
  bytes: number;
  iops: number;
  bw_bytes: number;
  lat_ns: LatencyResult | null;
  read: { ios: number; lat_ns: LatencyResult | null };
  write: { ios: number; lat_ns: LatencyResult | null };
  /** Where it was asked for: least and largest latency of each bucket, and its I/Os. */
  histogram?: [number, number, number][];
}

/** The measurement for programs: part of the object that the command writes as JSON. */
export interface PerfResult {
  workload: {
    pattern: string;
    read_pct: number;
    io_bytes: number;
    depth: number;
    queue_pairs: number;
    interrupts: boolean;
    sq_in_cmb: boolean;
    seed: number;
  };
  results: PerfRow[];
  total: PerfRow;
  threads: {
    cpu: number | null;
    usr_pct: number;
    sys_pct: number;
    busy_pct: number;
    busy_ns_per_io: number;
  }[];
}

/** As SPDK's perf shows them, of a hundred. */
export const PERF_PERCENTILES = [
  ...[1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9],
  ...[99.99, 99.999, 99.9999],
];

export function perfResult(
  plan: PerfPlan,
  { parts, total, threads }: PerfMeasurement,
  { histograms = false } = {},
): PerfResult {
  const row = (part: PerfPart): PerfRow => ({
    ...rowOf(plan, part),
    ...(histograms ? { histogram: bucketsOf(part.latency) } : {}),
  });
  return {
    workload: {
      pattern: plan.pattern,
      read_pct: readPercentOf(plan),
      io_bytes: plan.ioSize,
      depth: plan.depth,
      queue_pairs: plan.queuePairs,
      interrupts: plan.interrupts ?? false,
      sq_in_cmb: plan.sqInCmb ?? false,
      seed: plan.seed,
    },
    results: parts.map(row),
    total: row(total),
    threads: threads.map(({ cpu, ios, runtimeNs, busyNs, elapsedNs, userNs, systemNs }) => ({
      cpu,
      usr_pct: (100 * userNs) / elapsedNs,
      sys_pct: (100 * systemNs) / elapsedNs,
      busy_pct: (100 * busyNs) / runtimeNs,
      busy_ns_per_io: busyNs / ios,
    })),
  };
}

function rowOf({ ioSize }: PerfPlan, part: PerfPart): PerfRow {
  const { target, cpu, descriptors, runtimeNs, latency, reads, writes } = part;
  const seconds = runtimeNs / 1e9;
  const ios = latency.count;
  return {
    target,
    cpu,
    descriptors,
    runtime_ns: runtimeNs,
    ios,
    bytes: ios * ioSize,
    iops: ios / seconds,
    bw_bytes: (ios * ioSize) / seconds,
    lat_ns: latencyOf(latency),
    read: { ios: reads.count, lat_ns: latencyOf(reads) },
    write: { ios: writes.count, lat_ns: latencyOf(writes) },
  };
}

function latencyOf(histogram: Histogram): LatencyResult | null {
  if (histogram.count === 0) return null;
  const { min, mean, max } = histogram;
  const percentile = Object.fromEntries(
    PERF_PERCENTILES.map((p) => [String(p), histogram.percentile(p)]),
  );
  return { min, mean, max, percentile };
}

function bucketsOf(histogram: Histogram): [number, number, number][] {
  const buckets: [number, number, number][] = [];
  histogram.forEachBucket((lowest, highest, count) => buckets.push([lowest, highest, count]));
  return buckets;
}
