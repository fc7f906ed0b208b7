import type { RegistrarJob } from "../io/registrar.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { EngineJob, EngineOutcome } from "../reactor/engine-job.js";

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
  /** Where memory is mapped for each I/O, which then builds its pointers. */
  registrar: RegistrarJob | null;
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

/** What a job of any kind goes by: its part of a run's range. */
export interface PartJob extends EngineJob {
  slots: number;
  /** Bytes of a copy block, and of the part's last one. */
  blockBytes: number;
  lastBlockBytes: number;
  /** Copy blocks in the part. */
  rangeBlocks: number;
  /** How often to go through the part, where no time ends the run. */
  loops: number;
  /** Bytes of a {@link Histogram}. */
  latency: SharedArrayBuffer;
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

/** Begin of the read to end of the write is what a block takes. */
export interface CopyOutcome extends EngineOutcome {
  /** Bytes and blocks that arrived. */
  bytes: number;
  blocks: number;
  /** The same of the ramp. */
  rampBytes: number;
}
