import type { PartJob, PartOutcome } from "../io/part-job.js";
import type { SideJob } from "../io/side.js";

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
export type CopyOutcome = PartOutcome;
