import { isMixed, type Pattern } from "../perf/plan.js";
import type { KernelEndpoint } from "./endpoint.js";

/** Through memory of the kernel's p2pmem, or through ordinary memory. */
export type KernelMemory = "kernel-p2p" | "kernel-host";

/**
 * What the kernel's own driver is to do, with O_DIRECT; the fields of a BenchPoint have the same names.
 * Sizes in bytes, times in seconds.
 */
export interface KernelPlan {
  path: KernelMemory;
  /** The device whose p2pmem is used: `BDF`, or `BDF/cmb`; null: the closest that all reach. */
  provider: string | null;
  rw: "copy" | Pattern;
  /** A copy has one; I/Os go to all of them at once. */
  sources: readonly KernelEndpoint[];
  /** Null where nothing is copied. */
  destination: KernelEndpoint | null;
  /** Bytes of an I/O, or of a copy's block. */
  bs: number;
  /** I/Os or blocks in flight, of each thread; of several sources, for each of them. */
  iodepth: number;
  /** Threads. Copies and sequential I/O: each has its own part of the range. */
  numjobs: number;
  /** Reads among a hundred I/Os, of `rw` and `randrw`. */
  rwmixread: number;
  /** How far into each endpoint's range to begin, and how much of it to use; null: to its end. */
  offset: number;
  size: number | null;
  /**
   * Where `size` is null and no range was given a length: how much to use, at most, and of all as much.
   * Default: what there is.
   */
  mostSize?: number;
  /** How long it takes; null: until `loops` times the size has been moved. */
  runtime: number | null;
  loops: number;
  /** False: the loops end it before its runtime, if they are done. Default: true. */
  timeBased?: boolean;
  /** The same I/Os before those that count. */
  rampTime: number;
  /** I/Os (or blocks) a second of each thread, at most; null: as fast as it goes. */
  rateIops: number | null;
  /** The processors to pin the threads to, in turn; empty: none. */
  cpusAllowed: readonly number[];
  randseed: number;
  /** Needed to write to anything. */
  allowWrite: boolean;
  /** Begins nothing more, finishes what is in flight, and rejects with INTERRUPTED. */
  signal?: AbortSignal;
  /** `total` is null where time and not size ends the run. */
  onProgress?(bytes: number, total: number | null): void;
}

/** Reads among a hundred I/Os of a pattern. */
export function readPercent(rw: Pattern, rwmixread: number): number {
  if (isMixed(rw)) return rwmixread;
  return rw.endsWith("read") ? 100 : 0;
}

/** Whether the sources themselves are written. */
export function writesSources({ rw, rwmixread }: KernelPlan): boolean {
  return rw !== "copy" && readPercent(rw, rwmixread) < 100;
}

export function readsSources({ rw, rwmixread }: KernelPlan): boolean {
  return rw === "copy" || readPercent(rw, rwmixread) > 0;
}
