import { formatEndpoint } from "../io/endpoint.js";
import type { RunMeter } from "../io/run-meter.js";
import type { Traffic } from "../io/traffic.js";
import { Histogram } from "../reactor/histogram.js";
import type { Written } from "../verify/written.js";
import type { CheckedPerf } from "./check.js";
import type { PerfOutcome } from "./job.js";
import { readPercentOf, type PerfPlan } from "./plan.js";
import type { ThreadSetup } from "./setup.js";
import type { TargetIos } from "./traffic.js";

/** What one thread's I/Os to one target took, or all of them together. */
export interface PerfPart {
  /** The endpoint; null of all together. */
  target: string | null;
  /** Where its thread was pinned; null where it was not, and of all together. */
  cpu: number | null;
  /** How its commands say where their data is; null of all together. */
  descriptors: "prp" | "sgl" | null;
  /** First submission to last completion. */
  runtimeNs: number;
  /** I/Os of either kind. */
  readIos: number;
  writeIos: number;
  /** Submission to completion of each I/O; nothing in them where latency was not recorded. */
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
  userNs: number;
  systemNs: number;
}

/** What one run of a plan gave. The ramp is in none of it. */
export interface PerfMeasurement {
  parts: PerfPart[];
  total: PerfPart;
  threads: PerfThread[];
  /** Of the threads alone, all together; `busyNs` leaves out the polls that found nothing. */
  cpu: {
    userNs: number;
    systemNs: number;
    busyNs: number;
    /** Of the loopback machine's devices, with their polls; null on hardware. */
    deviceNs: number | null;
  };
  traffic: Traffic;
  /** I/Os in flight for each target and thread: may be fewer than the plan asked for, see `notes`. */
  depth: number;
  notes: readonly string[];
  /** Where marks went, with the ramp; null where the plan has none. */
  written: Written | null;
}

/** `derive`: of the I/Os of each target, where nothing counts. */
export function measurementOf(
  { targets, depth, notes }: CheckedPerf,
  setups: readonly ThreadSetup[],
  outcomes: readonly PerfOutcome[],
  meter: Pick<RunMeter, "counted" | "deviceCpuNs">,
  derive: (ios: TargetIos[]) => Traffic,
): Omit<PerfMeasurement, "written"> {
  const parts = setups.flatMap(({ job, latency }, thread) =>
    latency.map(({ read, write }, index): PerfPart => ({
      target: formatEndpoint(targets[index]!.endpoint),
      cpu: job.cpu,
      descriptors: job.targets[index]!.lanes[0]!.flags === 0 ? "prp" : "sgl",
      runtimeNs: runtimeOf(outcomes[thread]!),
      readIos: outcomes[thread]!.ios[index]!.reads,
      writeIos: outcomes[thread]!.ios[index]!.writes,
      latency: merged([read, write]),
      reads: read,
      writes: write,
    })),
  );
  const threads = outcomes.map((outcome, index) => ({
    cpu: setups[index]!.job.cpu,
    ios: outcome.ios.reduce((sum, { reads, writes }) => sum + reads + writes, 0),
    runtimeNs: runtimeOf(outcome),
    busyNs: outcome.busyNs,
    ...outcome.cpu,
  }));
  const sum = <T>(items: readonly T[], of: (item: T) => number): number =>
    items.reduce((total, item) => total + of(item), 0);
  const total: PerfPart = {
    target: null,
    cpu: null,
    descriptors: null,
    runtimeNs:
      Math.max(...outcomes.map(({ endedNs }) => endedNs)) -
      Math.min(...outcomes.map(({ beganNs }) => beganNs)),
    readIos: sum(parts, ({ readIos }) => readIos),
    writeIos: sum(parts, ({ writeIos }) => writeIos),
    latency: merged(parts.map(({ latency }) => latency)),
    reads: merged(parts.map(({ reads }) => reads)),
    writes: merged(parts.map(({ writes }) => writes)),
  };
  const ios = targets.map((_target, index) => ({
    reads: sum(outcomes, (outcome) => outcome.ios[index]!.reads),
    writes: sum(outcomes, (outcome) => outcome.ios[index]!.writes),
  }));
  const cpu = {
    userNs: sum(threads, ({ userNs }) => userNs),
    systemNs: sum(threads, ({ systemNs }) => systemNs),
    busyNs: sum(threads, ({ busyNs }) => busyNs),
    deviceNs: meter.deviceCpuNs,
  };
  return { parts, total, threads, cpu, traffic: meter.counted ?? derive(ios), depth, notes };
}

function runtimeOf({ beganNs, endedNs }: PerfOutcome): number {
  return endedNs - beganNs;
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
    /** Name of the peer memory; null: host memory. */
    provider: string | null;
    pattern: string;
    read_pct: number;
    io_bytes: number;
    /** As it was: see `notes`. */
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
  traffic: Traffic;
  /** Why something was not as the plan has it. */
  notes: readonly string[];
}

/** As SPDK's perf shows them, of a hundred. */
export const PERF_PERCENTILES = [
  ...[1, 10, 25, 50, 75, 90, 95, 98, 99, 99.5, 99.9],
  ...[99.99, 99.999, 99.9999],
];

export function perfResult(
  plan: PerfPlan,
  { parts, total, threads, traffic, depth, notes }: PerfMeasurement,
  { histograms = false } = {},
): PerfResult {
  const row = (part: PerfPart): PerfRow => ({
    ...rowOf(plan, part),
    ...(histograms ? { histogram: bucketsOf(part.latency) } : {}),
  });
  return {
    workload: {
      provider: plan.provider?.name ?? null,
      pattern: plan.pattern,
      read_pct: readPercentOf(plan),
      io_bytes: plan.ioSize,
      depth,
      queue_pairs: plan.queuePairs,
      interrupts: plan.interrupts ?? false,
      sq_in_cmb: plan.sqInCmb ?? false,
      seed: plan.seed,
    },
    results: parts.map(row),
    total: row(total),
    threads: threads.map(({ cpu, ios, runtimeNs, busyNs, userNs, systemNs }) => ({
      cpu,
      usr_pct: (100 * userNs) / runtimeNs,
      sys_pct: (100 * systemNs) / runtimeNs,
      busy_pct: (100 * busyNs) / runtimeNs,
      busy_ns_per_io: busyNs / ios,
    })),
    traffic,
    notes,
  };
}

function rowOf({ ioSize }: PerfPlan, part: PerfPart): PerfRow {
  const { target, cpu, descriptors, runtimeNs, readIos, writeIos, latency } = part;
  const seconds = runtimeNs / 1e9;
  const ios = readIos + writeIos;
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
    read: { ios: readIos, lat_ns: latencyOf(part.reads) },
    write: { ios: writeIos, lat_ns: latencyOf(part.writes) },
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
