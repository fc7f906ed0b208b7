import type { CompletionQueueHandle } from "../rdma/completion-queue.js";
import type { QueuePairHandle } from "../rdma/queue-pair.js";
import type { InlineAddress } from "../rdma/memory-region.js";

/**
 * What a side's thread does: `send` posts as many requests as the depth allows, `receive` takes what comes;
 * the others have one message in flight, of which both sides have one in turn (`write`, `reply`), or which
 * is a read.
 */
export type LoopKind = "send" | "receive" | "ping-pong-write" | "ping-pong-send" | "read";

/** A queue pair, and where its messages lie. Addresses are those of memory regions: safe integers. */
export interface LaneJob {
  queuePair: QueuePairHandle;
  /** Where messages come from, or where reads go. */
  local: number;
  /** The same for the CPU, where they are sent inline; else null. */
  inline: InlineAddress | null;
  /** Where received ones go. */
  receive: number;
  lkey: number;
  /** At the other side: where writes go, or where reads come from. */
  remote: number;
  rkey: number;
}

/** Memory of messages that the thread itself looks at. */
export interface PolledMemory {
  memoryId: number;
  /** Of the last byte of the message to write, and of the one that comes. */
  postOffset: number;
  pollOffset: number;
}

/** What a thread needs for the messages of one size; cloneable. */
export interface RdmaPerfJob {
  kind: LoopKind;
  /** ibv_wr_opcode of what is posted. */
  opcode: number;
  /** Bytes of a message. */
  size: number;
  lanes: LaneJob[];
  sendCompletions: CompletionQueueHandle;
  /** Null where nothing is received. */
  receiveCompletions: CompletionQueueHandle | null;
  /** Of `ping-pong-write`. */
  polled: PolledMemory | null;
  /** Whether this side begins, of two that take turns. */
  begins: boolean;
  /** Messages of each lane before those that count. */
  warmUp: number;
  /** Of each lane; null where a time ends the test. */
  iterations: number | null;
  /** Nanoseconds. */
  durationNs: number | null;
  sends: number;
  receives: number;
  cqMod: number;
  /** Times are kept for a peak, or of each round trip. */
  keepsTimes: boolean;
  /** How long to wait for a message, nanoseconds. */
  timeoutNs: number;
  /** See yieldAfterOf(). */
  yieldAfter: number;
  /** See ControlBlock, StartGate: it waits there, prepared, for its owner. */
  control: SharedArrayBuffer;
  gate: SharedArrayBuffer;
  cpu: number | null;
}

/** Why a thread ended before its time. */
export type LoopFailure =
  | { kind: "status"; status: number; vendorError: number; isReceive: boolean }
  | { kind: "timeout" }
  /** Its owner knows why. */
  | { kind: "stopped" };

export interface RdmaPerfOutcome {
  /** Messages that each lane had at least, with those that did not count; null: this side sent none. */
  sent: number | null;
  /** Of all lanes, that counted. */
  messages: number;
  /** From the first posting (or arrival) to the last completion, of those that counted. */
  runtimeNs: number;
  /** When messages were posted and had completed: see shortestInterval(), latencyOf(). Null on failure. */
  posted: Float64Array | null;
  completed: Float64Array | null;
  failure: LoopFailure | null;
}
