import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";

/** One queue pair, and the I/Os that are in flight on it. */
export interface LaneJob {
  queue: QueuePairHandle;
  /** How long a command may take, nanoseconds. */
  timeoutNs: number;
  slots: number;
  /**
   * Four words for each command of each slot: its data pointer (see DataPointerBuilder). Built once:
   * a slot's memory stays the same, only the LBA moves.
   */
  pointers: Int32Array;
  /** What the data pointers need in dword 0 beside the opcode. */
  flags: number;
  /** Completions to take before their entries are given back; the queue has room for so many more. */
  acknowledgeAfter: number;
}

/** The I/Os of one thread to one namespace. */
export interface TargetJob {
  nsid: number;
  /** First logical block of the range, and the I/Os that it has room for. */
  lba: number;
  ios: number;
  /** Logical blocks of an I/O, and of a command at most. */
  ioBlocks: number;
  commandBlocks: number;
  isRandom: boolean;
  /** Reads among a hundred I/Os. */
  readPercent: number;
  lanes: LaneJob[];
  /** Bytes of a {@link Histogram} each. */
  readLatency: SharedArrayBuffer;
  writeLatency: SharedArrayBuffer;
}

/** Everything that a thread needs for its part of a run. Numbers, handles and shared memory: cloneable. */
export interface PerfJob {
  targets: TargetJob[];
  /** Bytes of an I/O. */
  ioBytes: number;
  /** What is completed before is not counted. */
  warmupNs: number;
  /** After that nothing new is begun. */
  runtimeNs: number;
  /** Other for each thread. */
  seed: number;
  /** The processor to pin the thread to. */
  cpu: number | null;
  /** See ControlBlock, whose queues are the lanes of all targets in turn, and StartGate. */
  control: SharedArrayBuffer;
  gate: SharedArrayBuffer;
}

/** The blocks of a command, and what it was to do with them. */
export interface PerfCommand {
  command: "Read" | "Write";
  lba: number;
  blocks: number;
}

/** Why a run ended early. `queue`: which of the job's queues. */
export type PerfFailure =
  | ({ kind: "status"; queue: number; status: number } & PerfCommand)
  /** It took too long; the owner of the run knows what ended it. */
  | ({ kind: "timeout"; queue: number } & PerfCommand)
  | { kind: "fault"; queue: number; message: string; hint: string }
  /** The owner of the run knows why: it said so. */
  | { kind: "lost"; queue: number };

export interface PerfOutcome {
  /** From the end of the warm-up to the last completion. */
  runtimeNs: number;
  /** The same with the warm-up. */
  elapsedNs: number;
  /** Of `runtimeNs`, the time in poll rounds that found something. */
  busyNs: number;
  failure: PerfFailure | null;
}
