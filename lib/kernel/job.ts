import type { CpuTime, EngineJob } from "../reactor/engine-job.js";

/** Where requests go: one of the job's files, by its index, and bytes from its start. */
export interface Place {
  file: number;
  offset: number;
}

/** Blocks from one place to another, round and round. */
export interface CopyWork {
  kind: "copy";
  source: Place;
  destination: Place;
  /** Of this thread's part. */
  blocks: number;
  /** Bytes of the part's last block. */
  lastBytes: number;
  /** Blocks to copy, of a job that ends with its work. */
  work: number;
}

/** Reads, writes or both, of each target at once. */
export interface IoWork {
  kind: "io";
  /** `ios`: places for I/Os from there on. `work`: I/Os to do, of a job that ends with its work. */
  targets: (Place & { ios: number; work: number })[];
  isRandom: boolean;
  /** Reads among a hundred I/Os. */
  readPercent: number;
}

/** Everything that a thread needs for its part of a run. Numbers and shared memory: cloneable. */
export interface KernelJob extends Omit<EngineJob, "recordsLatency" | "epoch"> {
  /** Descriptors of files that are open with O_DIRECT. */
  files: number[];
  work: CopyWork | IoWork;
  /** I/Os or blocks in flight; of several targets, the same number for each, one target after the other. */
  slots: number;
  /** The memory of all slots, and the bytes from one to the next. */
  memoryId: number;
  stride: number;
  /** The kernel may pin the memory once for all. Not p2pmem: it allows no long pins there. */
  mayRegister: boolean;
  /** Bytes of an I/O. */
  ioBytes: number;
  seed: number;
  /** Bytes of a Histogram each: of reads and writes; a copy's blocks count as reads. */
  readLatency: SharedArrayBuffer;
  writeLatency: SharedArrayBuffer;
}

/** A request that failed: `result` is what the kernel says, bytes or an errno, negated. */
export interface KernelFailure {
  isWrite: boolean;
  file: number;
  offset: number;
  length: number;
  result: number;
}

/** I/Os of one target. */
export interface TargetIos {
  reads: number;
  writes: number;
}

export interface KernelOutcome {
  /** Without the ramp. */
  ios: number;
  bytes: number;
  /** By target; none of a copy. */
  targets: TargetIos[];
  /** Bytes with those of the ramp. */
  allBytes: number;
  /** From the end of the ramp to the last completion. */
  runtimeNs: number;
  /** Of the thread, in that time; nanoseconds. */
  cpu: CpuTime;
  /** The kernel has pinned the memory once for all. */
  isRegistered: boolean;
  failure: KernelFailure | null;
}
