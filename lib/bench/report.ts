import type { Traffic } from "../io/traffic.js";
import type { BenchPath, VerifyMode, Workload } from "./point.js";

/** The version of the object below, in its field `format`; another number is another shape. */
export const REPORT_FORMAT = "p2pmem-bench-1";

/** What `bench` measured: the object that it writes as JSON. Unknown is null. */
export interface BenchReport {
  format: typeof REPORT_FORMAT;
  /** Of p2pmem. */
  version: string;
  /** `kernel`: no device was p2pmem's own, the kernel's driver had them all. */
  platform: "loopback" | "vfio" | "kernel";
  /** ISO 8601, UTC. */
  started: string;
  /** The command that repeats it, word by word. */
  command: readonly string[];
  /** It ended early, most likely interrupted: results are what there was until then. */
  incomplete: boolean;
  machine: MachineReport;
  results: BenchResult[];
  expectations: ExpectationResult[];
  /** What makes the figures doubtful: noise, drift, fewer blocks in flight than asked for. */
  warnings: string[];
}

/** One point's samples, put together. */
export interface BenchResult {
  job: string;
  rw: Workload;
  path: BenchPath;
  provider: string | null;
  /** Null where nothing is read; several are separated by commas. */
  src: string | null;
  /** Null where nothing is written. */
  dst: string | null;
  bs: number;
  /** Bytes of each endpoint that the blocks or I/Os went over; null: not known. */
  size: number | null;
  /** Of each thread at each source, as asked for; where fewer fit, a warning says so. */
  iodepth: number;
  numjobs: number;
  rwmixread: number | null;
  registration: "once" | "each";
  /** Of random places and mixes, and of the choice among providers that are equally close. */
  randseed: number;
  /** Of all samples together. */
  bytes: number;
  ios: number;
  runtime_ns: number;
  /** What ran before the first sample and is counted nowhere: the same I/Os for a moment, with their set-up. */
  warm_up_ns: number;
  /** Medians of the samples. */
  bw_bytes: number;
  iops: number;
  /** Of all samples together; of a copy, from the begin of a block's read to the end of its write. */
  lat_ns: Latency | null;
  /** The two parts of a mixed workload. */
  read: { ios: number; lat_ns: Latency | null } | null;
  write: { ios: number; lat_ns: Latency | null } | null;
  /** Of all samples together. */
  cpu: CpuFigures;
  /** Of all samples together. */
  traffic: Traffic;
  /** Of a path over RDMA that has a sample, what its two ends had of it. */
  rdma: { src: RdmaEndReport; dst: RdmaEndReport } | null;
  verify: VerifyResult | null;
  /** Which submission queues and lists lay in a CMB: `src sq`, `src lists`, `dst sq`, `dst lists`. */
  in_cmb: string[];
  /** Two memcpys a block by one thread, bytes a second; of copies on the loopback machine only. */
  limit_bw_bytes: number | null;
  samples: Samples;
  /** It was interrupted: there are fewer samples, or they are not verified. */
  incomplete: boolean;
  /** Why it did not run, or not to its end; null where nothing failed. Figures may be null then. */
  failed: FailureReport | null;
  warnings: string[];
}

export interface CpuFigures {
  usr_pct: number;
  sys_pct: number;
  /** The driver's time for each block, empty polls left out; null: not known (the kernel's driver). */
  busy_ns_per_block: number | null;
  /** The loopback machine's device threads, for each block; null on hardware, which has its own. */
  device_ns_per_block: number | null;
}

/** One end of a stream over RDMA. All figures of both ends together are the result's own. */
export interface RdmaEndReport {
  /** The RDMA device's name. */
  dev: string;
  /** Its PCI function; null: it has none (soft-RoCE). */
  address: string | null;
  port: number;
  gid_index: number;
  /** Where its blocks wait: `host`, or the name of the peer memory. */
  staging: string;
  /** Payload bytes of this end, derived from the way of its data; null: not known. */
  host_memory_bytes: number | null;
  root_complex_bytes: number | null;
  /** Of this end's thread. */
  cpu: Omit<CpuFigures, "device_ns_per_block">;
}

export interface FailureReport {
  /** See docs/errors.md. */
  code: string;
  message: string;
  /** What to do about it. */
  hint: string | null;
}

export interface Latency {
  min: number;
  mean: number;
  stddev: number;
  max: number;
  percentile: Record<string, number>;
  /** Least and largest value of each bucket, and its count; where it was asked for. */
  histogram?: [number, number, number][];
}

/** Each sample in the order of time, and how far the medians can be trusted. */
export interface Samples {
  /** Begin of each, seconds after the report's `started`. */
  at_s: number[];
  bw_bytes: number[];
  iops: number[];
  lat_mean_ns: number[];
  cpu: { [Figure in keyof CpuFigures]: CpuFigures[Figure][] };
  /** Bounds of the intervals that hold the medians with this probability. */
  confidence: number;
  bw_bytes_ci: [number, number] | null;
  iops_ci: [number, number] | null;
  /** From the first sample to the last along the line that fits best, as a part of the median. */
  drift: number | null;
}

/** Of all samples together. */
export interface VerifyResult {
  mode: VerifyMode;
  blocks: number;
  mismatches: number;
  /** The first one, in words, with its sample; null where there is none. */
  first: string | null;
  /** What verifying took, apart from the samples. */
  runtime_ns: number;
}

/** The machine, as far as it bears on the figures. */
export interface MachineReport {
  hostname: string;
  kernel: string;
  node: string;
  cpu: { model: string; cores: number; governor: string | null };
  memory_bytes: number;
  /** `translated`, `passthrough`, `off`, or null. */
  iommu: string | null;
  /**
   * Of the kernel's drivers that the devices below are bound to, and of its NVMe driver where its paths are
   * measured. None of the loopback machine, whose devices p2pmem's own code drives.
   */
  drivers: DriverReport[];
  /** Of each PCI function on the way of some result. */
  devices: DeviceReport[];
  /** Of each pair of devices on the way of some result. */
  paths: PathReport[];
}

export interface DriverReport {
  name: string;
  /** As its module states it; null where it states none, and is what its kernel is. */
  version: string | null;
  /** Checksum of the module's sources (modinfo's srcversion); null where there is none. */
  source_version: string | null;
}

export interface DeviceReport {
  address: string;
  /** What it is to the results: `source`, `destination`, `provider`, `nic`, `bridge`. */
  role: string;
  /** The bridge above it; null at a root bus. */
  parent: string | null;
  /** Model and firmware of an NVMe controller, else the PCI IDs. */
  name: string;
  driver: string | null;
  /** Of a device of the kernel's paths: what results name of it, `/dev/nvme0n1`. */
  files?: string[];
  iommu_group: number | null;
  numa_node: number | null;
  /** Speed in GT/s and width, as negotiated. */
  link: { gts: number; width: number } | null;
}

export interface PathReport {
  client: string;
  provider: string;
  distance: number | null;
  map_type: string;
  route: string;
  /** Why not, or why so. */
  reason: string;
}

/** One expectation, for one combination of what its job sweeps. */
export interface ExpectationResult {
  job: string;
  /** As written. */
  expression: string;
  /** The combination, as `bs=4k iodepth=8`. */
  point: string;
  outcome: "pass" | "fail" | "error";
  /** The sides' values, or what cannot be evaluated and why. */
  detail: string;
}
