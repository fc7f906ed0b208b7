import type { PartJob, PartOutcome } from "../io/part-job.js";
import type { SideJob } from "../io/side.js";
import type { CompletionQueueHandle } from "../rdma/completion-queue.js";
import type { QueuePairHandle } from "../rdma/queue-pair.js";

/** How a reactor reaches the other end. */
export interface WireJob {
  queuePair: QueuePairHandle;
  completions: CompletionQueueHandle;
  /** Host memory of a header for each slot. */
  headersId: number;
  /** Of peer memory, what orders one device's writes before the other one's reads; null: host memory. */
  barrier: { memoryId: number; offset: number } | null;
}

/** What either end needs of its reactor. Numbers, handles and shared memory: cloneable. */
export interface StreamJob extends PartJob {
  /** The reads of a source, the writes of a destination. */
  side: SideJob;
  wire: WireJob;
  /** The number in the range of the first block: those before have been written already. */
  firstBlock: number;
}

/** As the local NIC knows memory, and as the remote one. */
export interface LocalMemory {
  address: number;
  lkey: number;
}
export interface RemoteMemory {
  address: number;
  rkey: number;
}

/** `rangeBlocks` counts from `firstBlock` on, and so does `side`. */
export interface SourceJob extends StreamJob {
  role: "source";
  /** Of the first slot; `stride` bytes to the next. */
  data: LocalMemory & { stride: number };
  headers: LocalMemory;
  remoteData: RemoteMemory & { stride: number };
  remoteHeaders: RemoteMemory;
}

/** `rangeBlocks` are all of the range. */
export interface DestinationJob extends StreamJob {
  role: "destination";
  /** A double: blocks from the begin of the range on that are written, with no gap. */
  written: SharedArrayBuffer;
  /** Blocks that may be ahead of one that is missing, more than twice the slots; a multiple of 32. */
  ahead: number;
  /** See StreamEndPlan. */
  exactlyOnce: boolean;
}

/** A request to the other end that has failed. */
export interface WireError {
  /** ibv_wc_status */
  status: number;
  vendorError: number;
  /** What it was: `the write of block 7`. */
  what: string;
}

export interface StreamJobOutcome extends PartOutcome {
  /** Where the failure is an RDMA_STATUS. */
  wireError: WireError | null;
}

/** The number of a StreamJob's NVMe queue. */
export const NVME_QUEUE = 0;
