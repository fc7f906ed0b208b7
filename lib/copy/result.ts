import type { Range } from "../extents/ranges.js";
import type { Histogram } from "../reactor/histogram.js";
import { formatEndpoint } from "../io/endpoint.js";
import { needsProvider, type CopyPath, type CopyPlan } from "./plan.js";
import type { Traffic } from "../io/traffic.js";
import type { Verification } from "../verify/inspect.js";

/** What one run of a plan gave. */
export interface CopyMeasurement {
  /** Bytes and blocks that were copied. */
  bytes: number;
  blocks: number;
  /** The parts of the destination's range that were written at least once: bytes from its offset on. */
  covered: readonly Range[];
  /** First submission to last completion, of all jobs. */
  runtimeNs: number;
  /** Begin of the read to end of the write, for each block. */
  latency: Histogram;
  /**
   * Of the reactors' threads alone, all together; `busyNs` leaves out the polls that found nothing.
   * `deviceNs`: of the loopback machine's devices, with their polls; null on hardware, and where the
   * machine did something else at the same time.
   */
  cpu: { userNs: number; systemNs: number; busyNs: number; deviceNs: number | null };
  /** The timed run alone. */
  traffic: Traffic;
  /** Jobs, and blocks in flight of each: may be fewer than the plan asked for; `notes` says why. */
  jobs: number;
  iodepth: number;
  /** Which submission queues and lists lay in a CMB: see namesInCmb(). */
  inCmb: string[];
  notes: string[];
}

/** The same for programs: the objects of `results` in the command's JSON. Unknown is null. */
export interface CopyResult {
  path: CopyPath;
  provider: string | null;
  src: string;
  dst: string;
  bs: number;
  iodepth: number;
  jobs: number;
  bytes: number;
  runtime_ns: number;
  bw_bytes: number;
  /** Block copies a second. */
  iops: number;
  lat_ns: { min: number; mean: number; max: number; percentile: Record<string, number> };
  cpu: {
    usr_pct: number;
    sys_pct: number;
    busy_ns_per_block: number;
    /** Of the loopback machine's devices; null on hardware, which has its own processors. */
    device_ns_per_block: number | null;
  };
  traffic: Traffic;
  /** `first`: the first mismatch in words; null where there is none. */
  verify: { blocks: number; mismatches: number; first: string | null } | null;
  /** Which submission queues and lists lay in a CMB: `src sq`, `src lists`, `dst sq`, `dst lists`. */
  in_cmb: string[];
  notes: string[];
}

const PERCENTILES = [50, 90, 99, 99.9, 99.99];

export function copyResult(
  plan: CopyPlan,
  run: CopyMeasurement,
  verification: Verification | null,
): CopyResult {
  const { latency, cpu } = run;
  const seconds = run.runtimeNs / 1e9;
  return {
    path: plan.path,
    provider: needsProvider(plan.path) ? (plan.provider?.name ?? null) : null,
    src: formatEndpoint(plan.source),
    dst: formatEndpoint(plan.destination),
    bs: plan.bs,
    iodepth: run.iodepth,
    jobs: run.jobs,
    bytes: run.bytes,
    runtime_ns: run.runtimeNs,
    bw_bytes: run.bytes / seconds,
    iops: run.blocks / seconds,
    lat_ns: {
      min: latency.min,
      mean: latency.mean,
      max: latency.max,
      percentile: Object.fromEntries(PERCENTILES.map((p) => [String(p), latency.percentile(p)])),
    },
    cpu: {
      usr_pct: (100 * cpu.userNs) / run.runtimeNs,
      sys_pct: (100 * cpu.systemNs) / run.runtimeNs,
      busy_ns_per_block: cpu.busyNs / run.blocks,
      device_ns_per_block: cpu.deviceNs === null ? null : cpu.deviceNs / run.blocks,
    },
    traffic: run.traffic,
    verify:
      verification === null
        ? null
        : {
            blocks: verification.blocks,
            mismatches: verification.mismatches,
            first: verification.first?.message ?? null,
          },
    in_cmb: run.inCmb,
    notes: run.notes,
  };
}
