/** What loops need of lib/rdma, so that tests can stand in for it. */
import type { InlineAddress } from "../../rdma/memory-region.js";

export interface LoopSends {
  readonly inFlight: number;
  readonly unposted: number;
  /** See repeat(). */
  readonly records: number;
  /** When what flush() posted last had been handed over: see readTime(). */
  readonly postedAt: Uint32Array;
  write(
    tag: number,
    opcode: number,
    flags: number,
    address: number,
    length: number,
    lkey: number,
    remote: number,
    rkey: number,
  ): void;
  writeInline(
    tag: number,
    opcode: number,
    flags: number,
    address: InlineAddress,
    length: number,
    remote: number,
    rkey: number,
  ): void;
  /** The same as so many `records` ago. */
  repeat(): void;
}

export interface LoopReceives {
  write(tag: number, address: number, length: number, lkey: number): void;
}

export interface LoopQueuePair {
  readonly sends: LoopSends;
  readonly receives: LoopReceives;
  /** Posts what both hold. Errors: IO. */
  flush(): void;
  flushSends(): void;
}

export interface LoopCompletionQueue {
  /** When the last that came were found: see readTime(). */
  readonly polledAt: Uint32Array;
  /** Errors: IO. */
  poll(room?: number, looks?: number): number;
  tag(index: number): number;
  status(index: number): number;
  vendorError(index: number): number;
}

/** A queue pair as a job describes it, open in this thread. */
export interface LaneQueues {
  readonly queuePair: LoopQueuePair;
}
