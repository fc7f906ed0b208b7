import type { RegistrarJob } from "../io/registrar.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { Writers } from "../verify/writers.js";
import type { EngineJob, EngineOutcome } from "../reactor/engine-job.js";

/** One queue pair, and the I/Os that are in flight on it. */
export interface LaneJob {
  queue: QueuePairHandle;
  /** How long a command may take, nanoseconds. */
  timeoutNs: number;
  slots: number;
  /** How many buffers a read's is behind its slot's: 0 where writes and reads share one. */
  readBuffers: number;
  /** What its first slot is to {@link TargetJob.writers}, and one more for each of the others. */
  firstMark: number;
  /**
   * Four words for each command of each buffer: its data pointer (see DataPointerBuilder). Built once:
   * a buffer's memory stays the same, only the LBA moves.
   */
  pointers: Int32Array;
  /** What the data pointers need in dword 0 beside the opcode. */
  flags: number;
  /** Where memory is mapped for each I/O, which then builds its pointers. */
  registrar: RegistrarJob | null;
  /** Completions to take before their entries are given back; the queue has room for so many more. */
  acknowledgeAfter: number;
}

/** The I/Os of one thread to one namespace. */
export interface TargetJob {
  nsid: number;
  /** First logical block of the range, and the I/Os that it has room for. */
  lba: number;
  ios: number;
  /** How many I/Os to do, where no time ends the run. */
  work: number;
  /** Logical blocks of an I/O, and of a command at most. */
  ioBlocks: number;
  commandBlocks: number;
  isRandom: boolean;
  /** Reads among a hundred I/Os. */
  readPercent: number;
  lanes: LaneJob[];
  /** Of its I/Os, in shared memory; null where nobody will look at what was written. */
  writers: Writers | null;
  /** Bytes of a {@link Histogram} each. */
  readLatency: SharedArrayBuffer;
  writeLatency: SharedArrayBuffer;
}

/** Everything that a thread needs for its part of a run: see EngineJob. Its queues: the lanes of all targets in turn. */
export interface PerfJob extends EngineJob {
  targets: TargetJob[];
  /** Bytes of an I/O. */
  ioBytes: number;
  /** Other for each thread. */
  seed: number;
}

export interface PerfOutcome extends EngineOutcome {
  /** By target: I/Os that counted. */
  ios: { reads: number; writes: number }[];
}
