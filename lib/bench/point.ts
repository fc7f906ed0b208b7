import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { Endpoint } from "../io/endpoint.js";
import type { CopyPath } from "../copy/plan.js";
import type { KernelEndpoint } from "../kernel/endpoint.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Pattern } from "../perf/plan.js";
import type { VerifyMode } from "../verify/mode.js";

export { VERIFY_MODES, type VerifyMode } from "../verify/mode.js";

/** `copy`: blocks from a source to a destination; else I/Os of namespaces alone, as fio's `rw` has them. */
export type Workload = "copy" | Pattern;

/**
 * A copy whose two ends are those of a wire: into staging memory of the source's end, by RDMA writes into
 * that of the destination's, and from there on; both of it peer memory, or both host memory.
 */
export type RdmaPath = "rdma-p2p" | "rdma-host";

/**
 * Beside the paths of a copy inside the machine and those over RDMA, those that the kernel's own NVMe
 * driver takes, with O_DIRECT: into memory of the kernel's p2pmem, and into ordinary memory. Without a
 * copy, `p2p` and `host` say where the I/Os' memory lies.
 */
export type BenchPath = CopyPath | RdmaPath | "kernel-p2p" | "kernel-host";

export const BENCH_PATHS: readonly BenchPath[] = [
  ...["p2p", "host", "cpu", "nvme-copy"],
  ...["rdma-p2p", "rdma-host"],
  ...["kernel-p2p", "kernel-host"],
] as BenchPath[];

/** Whether the kernel's own driver takes it. */
export function isKernelPath(path: BenchPath): boolean {
  return path.startsWith("kernel-");
}

/** Whether the data goes over an RDMA device's wire. */
export function isRdmaPath(path: BenchPath): path is RdmaPath {
  return path.startsWith("rdma-");
}

/** Something of the source's end and of the destination's. */
export type OfEnds<T> = readonly [source: T, destination: T];

/** Where an end meets the wire. */
export interface RdmaPort {
  /** The RDMA device by its name, and its PCI function; null: it has none (soft-RoCE). */
  dev: string;
  address: Bdf | null;
  port: number;
  gidIndex: number;
}

/** A namespace that p2pmem drives, or what the kernel's driver shows: `/dev/nvme0n1`, `file:PATH`. */
export type BenchEndpoint = Endpoint | KernelEndpoint;

export type { KernelEndpoint };

/** One combination of what a job sweeps: all that a sample of it needs. Sizes in bytes, times in seconds. */
export interface BenchPoint {
  /** Name of its job. */
  job: string;
  rw: Workload;
  path: BenchPath;
  /** Name of the peer memory; null where the path has none. */
  provider: string | null;
  /** Null where the path has no wire. */
  rdma: OfEnds<RdmaPort> | null;
  /** A copy has one source; I/Os go to all of them at once. */
  sources: readonly BenchEndpoint[];
  /** Null where nothing is copied. */
  destination: BenchEndpoint | null;
  bs: number;
  /** Blocks or I/Os in flight, of each thread at each source. */
  iodepth: number;
  /** Threads. */
  numjobs: number;
  /** Reads among a hundred I/Os, of `rw` and `randrw`. */
  rwmixread: number;
  /** How far into each endpoint's range to begin, and how much of it to use; null: to its end. */
  offset: number;
  size: number | null;
  /** How long a sample takes; null: until `loops` times `size` has been moved. */
  runtime: number | null;
  /** It takes all of `runtime`, over and over through the range; else it may end by `loops` before. */
  timeBased: boolean;
  loops: number;
  /** The same I/Os before those that count. */
  rampTime: number;
  samples: number;
  /** I/Os (or blocks) a second, of each job, at most; null: as fast as it goes. */
  rateIops: number | null;
  /** The processors to pin the threads to, in turn; empty: none. */
  cpusAllowed: readonly number[];
  /** How data pointers are made: once before the run, or again for each I/O, with an IOMMU mapping. */
  registration: "once" | "each";
  verify: VerifyMode | null;
  randseed: number;
  percentiles: readonly number[];
  descriptors: Descriptors;
  sqInCmb: boolean;
  listsInCmb: boolean;
  /** Its endpoints or its provider are some of all (`each`, `all`): if it cannot run, others may. */
  isOneOfAll: boolean;
  /** Why it is known that it cannot run; null: nothing is. */
  refusal: P2pError | null;
}
