import type { NativeCompletionQueue, NativeRdmaDevice } from "../rdma-addon.js";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { QueuePair } from "./queue-pair.js";
import { IS_RECEIVE } from "./request-ring.js";
import {
  CALL_TIME,
  COMPLETION_BYTES,
  COMPLETION_FLAGS,
  COMPLETION_ID,
  COMPLETION_IMMEDIATE,
  COMPLETION_OPCODE,
  COMPLETION_QUEUE_PAIR,
  COMPLETION_STATUS,
  COMPLETION_VENDOR_ERROR,
  COMPLETION_WORDS,
  POLL_FOUND,
  POLL_LOOKS,
  POLL_ROOM,
} from "./ring-layout.js";
import { COMPLETION_WITH_IMMEDIATE } from "./spec.js";

/** By which another thread opens the same queue; survives postMessage. */
export interface CompletionQueueHandle {
  readonly id: number;
}

/**
 * Where requests end. poll() takes what has come in one native call; the functions with an index tell
 * of the n-th of them, until the next poll(). Made by RdmaDevice.createCompletionQueue().
 */
export class CompletionQueue {
  readonly native: NativeCompletionQueue;
  /** Completions that it has room for: post no more requests than that. */
  readonly entries: number;
  /** When poll() found some last, as readTime() takes it. */
  readonly polledAt: Uint32Array;
  readonly #memory: NativeMemory;
  readonly #words: Uint32Array;
  /** The word where the records end. */
  readonly #call: number;
  readonly #queuePairs = new Map<number, QueuePair>();
  readonly #onClosed: (queue: CompletionQueue) => void;
  /** The one that completed last: mostly the next one, too. */
  #last: QueuePair | null = null;
  #isClosed = false;

  /** `channel`: it can be waited for. Errors: RDMA_LIMIT, IO. */
  static create(
    device: NativeRdmaDevice,
    entries: number,
    channel: boolean,
    onClosed: (queue: CompletionQueue) => void,
  ): CompletionQueue {
    const native = device.createCompletionQueue(entries, channel);
    return CompletionQueue.#over(native, onClosed);
  }

  /**
   * The same queue in another thread, which alone polls it from then on. Closed there it is let go of;
   * it ends where it was made. Errors: GONE.
   */
  static open({ id }: CompletionQueueHandle): CompletionQueue {
    return CompletionQueue.#over(addon().openCompletionQueue(id), () => undefined);
  }

  static #over(
    native: NativeCompletionQueue,
    onClosed: (queue: CompletionQueue) => void,
  ): CompletionQueue {
    try {
      return new CompletionQueue(native, onClosed);
    } catch (error) {
      native.close();
      throw error;
    }
  }

  private constructor(native: NativeCompletionQueue, onClosed: (queue: CompletionQueue) => void) {
    this.native = native;
    this.entries = native.entries;
    this.#memory = native.records();
    this.#words = new Uint32Array(this.#memory.buffer);
    this.#call = this.entries * COMPLETION_WORDS;
    this.polledAt = this.#words.subarray(this.#call + CALL_TIME, this.#call + CALL_TIME + 2);
    this.#onClosed = onClosed;
  }

  get handle(): CompletionQueueHandle {
    return { id: this.native.id };
  }

  /**
   * How many have come, at most `room`; their queue pairs have that much more room. Where none has, it
   * looks up to so many times before it returns: a look takes some 10 ns, a native call three times that.
   * Errors: IO.
   */
  poll(room = this.entries, looks = 1): number {
    const words = this.#words;
    const call = this.#call;
    words[call + POLL_ROOM] = room;
    words[call + POLL_LOOKS] = looks;
    this.native.poll();
    const count = words[call + POLL_FOUND]! | 0;
    if (count < 0)
      throw new P2pError("IO", "the completion queue cannot be polled", { errno: -count });
    for (let index = 0; index < count; index++) {
      const at = index * COMPLETION_WORDS;
      const number = words[at + COMPLETION_QUEUE_PAIR]!;
      let queuePair = this.#last;
      if (queuePair?.number !== number)
        this.#last = queuePair = this.#queuePairs.get(number) ?? null;
      // One that was closed meanwhile may still have some here.
      queuePair?.completed(words[at + COMPLETION_ID + 1]!);
    }
    return count;
  }

  /** What the user wrote into the request. */
  tag(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_ID]!;
  }

  /** ibv_wc_status; where it is not 0 only tag, queue pair and vendor error mean something. */
  status(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_STATUS]!;
  }

  /** ibv_wc_opcode */
  opcode(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_OPCODE]!;
  }

  /** Of failed ones, too. */
  isReceive(index: number): boolean {
    return (this.#words[index * COMPLETION_WORDS + COMPLETION_ID + 1]! & IS_RECEIVE) !== 0;
  }

  /** Of receives and reads. */
  bytes(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_BYTES]!;
  }

  /** Null where it has none. */
  immediate(index: number): number | null {
    const at = index * COMPLETION_WORDS;
    const has = (this.#words[at + COMPLETION_FLAGS]! & COMPLETION_WITH_IMMEDIATE) !== 0;
    return has ? this.#words[at + COMPLETION_IMMEDIATE]! : null;
  }

  /** Number of the queue pair. */
  queuePair(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_QUEUE_PAIR]!;
  }

  vendorError(index: number): number {
    return this.#words[index * COMPLETION_WORDS + COMPLETION_VENDOR_ERROR]!;
  }

  /**
   * Asks for one event of a completion, or of a solicited one, that comes from now on. Poll after that:
   * for what came before there is none. Errors: IO.
   */
  arm(solicitedOnly = false): void {
    this.native.arm(solicitedOnly);
  }

  /**
   * Called on the event loop for each event; null takes it away, which always succeeds. Errors: UNSUPPORTED
   * without a channel.
   */
  onEvent(handler: (() => void) | null): void {
    this.native.onEvent(handler);
  }

  /** Blocks this thread until an event or for so long; whether there was one. Errors: UNSUPPORTED. */
  waitEvent(timeoutMs: number): boolean {
    return this.native.waitEvent(timeoutMs);
  }

  /** For QueuePair alone. */
  add(queuePair: QueuePair): void {
    this.#queuePairs.set(queuePair.number, queuePair);
  }

  /** For QueuePair alone. */
  remove(queuePair: QueuePair): void {
    this.#queuePairs.delete(queuePair.number);
    if (this.#last === queuePair) this.#last = null;
  }

  /** Errors: IN_USE while a queue pair completes here. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.native.close();
    this.#isClosed = true;
    this.#memory.close();
    this.#onClosed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
