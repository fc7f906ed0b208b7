import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";

/** The commands that move one copy block on one side. */
export interface BlockShape {
  /** Logical blocks. */
  blocks: number;
  /**
   * The data pointers: four words for each command of each slot. Built once: a slot's memory stays
   * the same, only the LBA moves.
   */
  pointers: Int32Array;
}

/** Half of every block copy: the reads from the source, or the writes to the destination. */
export interface SideJob {
  queue: QueuePairHandle;
  /** How long a command may take, nanoseconds. */
  timeoutNs: number;
  /** NVMe 1.4 §6: Read or Write, and by PSDT the kind of its data pointers (§4.2). */
  opcode: number;
  nsid: number;
  /** First logical block of the job's part of the range. */
  lba: number;
  /** Logical blocks that one command moves, at most. */
  commandBlocks: number;
  whole: BlockShape;
  /** The part's last copy block, which may be shorter and then needs other data pointers. */
  last: BlockShape;
}

/** What happens to a batch of blocks between the read and the write. */
export type HandoffJob =
  | { kind: "none" }
  /** Posted data is pushed ahead into the peer's memory by a read from there. */
  | { kind: "flush"; memoryId: number; offset: number }
  /** The CPU copies from the pinned buffer of a slot to its place in the peer's BAR. */
  | {
      kind: "copy";
      fromId: number;
      toId: number;
      /** Bytes into either memory, for each slot. */
      fromOffsets: Float64Array;
      toOffsets: Float64Array;
    };

/** What a job of any kind goes by: its part of a run's range, and what it shares with its owner. */
export interface PartJob {
  slots: number;
  /** Bytes of a copy block, and of the part's last one. */
  blockBytes: number;
  lastBlockBytes: number;
  /** Copy blocks in the part. */
  rangeBlocks: number;
  /** Nanoseconds after which nothing new is begun, wrapping around the part; null: once through. */
  runtimeNs: number | null;
  /** Bytes of a {@link Histogram}. */
  latency: SharedArrayBuffer;
  /** See ControlBlock. */
  control: SharedArrayBuffer;
  /** See StartGate. */
  gate: SharedArrayBuffer;
  /** epoch() of the owner, by whose clock the outcome's times are. */
  epoch: number;
}

/** Everything that a reactor needs for its part. Numbers, handles and shared memory: cloneable. */
export interface CopyJob extends PartJob {
  read: SideJob;
  write: SideJob;
  handoff: HandoffJob;
}

/** The numbers of a CopyJob's queues. */
export const READ_QUEUE = 0;
export const WRITE_QUEUE = 1;

/** Why a run ended before it was complete. `queue`: which of the job's queues. */
export type CopyFailure =
  | { kind: "status"; queue: number; status: number; lba: number; blocks: number }
  /** It took too long; the owner of the run knows what ended it. */
  | { kind: "timeout"; queue: number; lba: number; blocks: number }
  | { kind: "fault"; queue: number; message: string; hint: string }
  /** The owner of the run knows why: it said so. */
  | { kind: "lost"; queue: number }
  /** Blocks could not be passed on from the source to the destination. */
  | { kind: "handoff"; code: string; message: string; hint: string };

export interface CopyOutcome {
  /** Bytes and blocks that arrived. */
  bytes: number;
  blocks: number;
  /** First submission and last completion, nanoseconds since the job's epoch. */
  beganNs: number;
  endedNs: number;
  /** Time in poll rounds that found something. */
  busyNs: number;
  failure: CopyFailure | null;
}
