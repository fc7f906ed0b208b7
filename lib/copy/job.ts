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
  /** NVMe 1.4 §6: Read or Write, and by PSDT the kind of its data pointers (§4.2). */
  opcode: number;
  nsid: number;
  /** First logical block of the range. */
  lba: number;
  /** Logical blocks that one command moves, at most. */
  commandBlocks: number;
  whole: BlockShape;
  /** The range's last copy block, which may be shorter and then needs other data pointers. */
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

/** Everything that a reactor needs for one run. Numbers, handles and shared memory: cloneable. */
export interface CopyJob {
  read: SideJob;
  write: SideJob;
  handoff: HandoffJob;
  slots: number;
  /** Bytes of a copy block, and of the range's last one. */
  blockBytes: number;
  lastBlockBytes: number;
  /** Copy blocks in the range. */
  rangeBlocks: number;
  /** Nanoseconds after which nothing new is begun, wrapping around the range; null: once through. */
  runtimeNs: number | null;
  /** Bytes of a {@link Histogram}. */
  latency: SharedArrayBuffer;
  /** See ControlBlock. */
  control: SharedArrayBuffer;
}

/** Why a run ended before it was complete. */
export type CopyFailure =
  | { kind: "status"; side: "read" | "write"; status: number; lba: number; blocks: number }
  | { kind: "fault"; side: "read" | "write"; message: string; hint: string }
  | { kind: "timeout"; side: "read" | "write"; outstanding: number }
  /** The owner of the run knows better: it gave up waiting. */
  | { kind: "given-up" };

export interface CopyOutcome {
  /** Bytes and blocks that arrived. */
  bytes: number;
  blocks: number;
  /** First submission to last completion. */
  runtimeNs: number;
  /** Time in poll rounds that found something. */
  busyNs: number;
  failure: CopyFailure | null;
  /** False where commands are still in flight, and the devices may still reach the run's memory. */
  drained: boolean;
}
