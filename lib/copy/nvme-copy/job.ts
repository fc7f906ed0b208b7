import type { PartJob } from "../../io/part-job.js";
import type { CopyFormat } from "../../nvme/commands/copy.js";
import type { QueuePairHandle } from "../../nvme/queues/queue-pair.js";

/** What a reactor needs to have a controller copy a part of a range by itself, by Copy commands. */
export interface NvmeCopyJob extends PartJob {
  queue: QueuePairHandle;
  timeoutNs: number;
  /** Of the destination. */
  nsid: number;
  /** First logical blocks of the part. */
  sourceLba: number;
  lba: number;
  /** Bytes in a logical block, on both sides. */
  blockSize: number;
  /** Logical blocks of a command, and of a range of it, at most. */
  commandBlocks: number;
  maxRangeBlocks: number;
  format: CopyFormat;
  /**
   * Memory of the lists of descriptors, zeroed but for the namespace's identifiers: one for each
   * command of each slot, `stride` bytes apart, none across a page.
   */
  lists: { memoryId: number; iova: number; stride: number };
}

/** The number of the job's queue. */
export const COPY_QUEUE = 0;
