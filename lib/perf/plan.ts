import type { Endpoint } from "../io/endpoint.js";
import type { RunPlan } from "../io/run-plan.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Marks } from "../verify/marks.js";

/** What the I/Os do, in the words of SPDK's perf: sequential or random, reads, writes or both. */
export type Pattern = "read" | "write" | "randread" | "randwrite" | "rw" | "randrw";

export const PATTERNS: readonly Pattern[] = [
  "read",
  "write",
  "randread",
  "randwrite",
  "rw",
  "randrw",
];

/** The share of reads of a mixed pattern for which none was given. */
export const DEFAULT_READ_PERCENT = 50;

/** Which I/Os to measure, where, and from how many threads. */
export interface PerfPlan extends RunPlan {
  /** Namespaces, or ranges of them. Each is driven by every thread. */
  targets: readonly Endpoint[];
  /**
   * The peer memory that is read into and written from, shared by all targets. Null, the default: host
   * memory. Nothing consumes what arrives there, so nothing is flushed but at the end.
   */
  provider?: Provider | null;
  pattern: Pattern;
  /** Reads among a hundred I/Os; for `rw` and `randrw` alone. */
  readPercent?: number;
  /** Bytes of an I/O: a multiple of the logical blocks of each target. */
  ioSize: number;
  /** I/Os in flight, for each target and thread, over all of its queue pairs. */
  depth: number;
  /** Queue pairs for each target and thread. */
  queuePairs: number;
  /** Bytes of each target to use, from its offset on; without it all of its range. */
  size?: number;
  /** Seconds; null: until each target has had `loops` times as many I/Os as its range has room for. */
  runtime: number | null;
  /**
   * Completions are told of by MSI-X interrupts, on the calling thread, which sleeps in between; no
   * core polls; there are no `cpus`, no further `jobs` and no `rateIops`. Default: false.
   */
  interrupts?: boolean;
  /** How commands say where their data is. Default: as the session's controllers do it. */
  descriptors?: Descriptors;
  /** Submission queues lie in the CMBs of their controllers. Default: false. */
  sqInCmb?: boolean;
  /** Of the random places, and of the mix: 32 bits. */
  seed: number;
  /**
   * What is written bears these marks, not random data, and the measurement says where it went, for
   * verifyWritten(). Reads of a mixed pattern then have buffers of their own. `seed` of the marks: another
   * one for each run, or what an earlier one left would pass.
   */
  marks?: Marks;
  /** Needed to write to a real device; the loopback machine's may be written freely. */
  allowWrite: boolean;
  /** Begins nothing more, finishes what is in flight, and rejects with INTERRUPTED. */
  signal?: AbortSignal;
  onProgress?(bytes: number): void;
}

export function isRandom(pattern: Pattern): boolean {
  return pattern.startsWith("rand");
}

/** Whether it mixes reads with writes, so that a share of reads makes sense. */
export function isMixed(pattern: Pattern): boolean {
  return pattern.endsWith("rw");
}

/** Reads among a hundred I/Os. */
export function readPercentOf({ pattern, readPercent }: PerfPlan): number {
  if (isMixed(pattern)) return readPercent ?? DEFAULT_READ_PERCENT;
  return pattern.endsWith("read") ? 100 : 0;
}
