import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type {
  NativeConnectionOptions,
  NativeProtectionDomain,
  NativeQueuePair,
  NativeQueuePairAddress,
  NativeQueuePairState,
} from "../rdma-addon.js";
import { tryAll } from "../try-all.js";
import type { CompletionQueue } from "./completion-queue.js";
import type { RdmaPath } from "./path.js";
import { IS_RECEIVE, ReceiveRing, SendRing } from "./request-ring.js";

interface RingSizes {
  /** Requests to send that may be in flight. */
  readonly sends: number;
  readonly receives: number;
  /** Gather entries of a request, 1 to 16. Default: 1. */
  readonly sendSge?: number;
  readonly receiveSge?: number;
}

export interface QueuePairOptions extends RingSizes {
  /** Bytes that may be sent inline. Default: 0. */
  readonly inlineBytes?: number;
  readonly sendCompletions: CompletionQueue;
  /** Default: those of sends. */
  readonly receiveCompletions?: CompletionQueue;
}

/** By which another thread opens the same queue pair; survives postMessage. */
export interface QueuePairHandle extends RingSizes {
  readonly id: number;
}

/**
 * A reliable connection (RC). Requests are written into `sends` and `receives` and posted by flush();
 * they end in the completion queues. Made by ProtectionDomain.createQueuePair().
 */
export class QueuePair {
  readonly number: number;
  readonly sends: SendRing;
  readonly receives: ReceiveRing;
  readonly #native: NativeQueuePair;
  readonly #sizes: RingSizes;
  readonly #completions: readonly CompletionQueue[];
  readonly #memory: readonly NativeMemory[];
  readonly #onClosed: (queuePair: QueuePair) => void;
  #isClosed = false;

  /** Errors: RDMA_LIMIT, IO. */
  static create(
    domain: NativeProtectionDomain,
    options: QueuePairOptions,
    onClosed: (queuePair: QueuePair) => void,
  ): QueuePair {
    const { sendCompletions, receiveCompletions = sendCompletions, ...sizes } = options;
    const native = domain.createQueuePair(sendCompletions.native, receiveCompletions.native, sizes);
    return QueuePair.#over(native, sizes, [sendCompletions, receiveCompletions], onClosed);
  }

  /**
   * The same queue pair in another thread, which alone posts to it, and polls these queues, from then on:
   * what was posted and polled elsewhere before is not known to its rings. Closed there it is let go of; it
   * ends where it was made. Errors: GONE.
   */
  static open(
    handle: QueuePairHandle,
    sendCompletions: CompletionQueue,
    receiveCompletions: CompletionQueue = sendCompletions,
  ): QueuePair {
    const native = addon().openQueuePair(handle.id);
    const queues = [sendCompletions, receiveCompletions];
    return QueuePair.#over(native, handle, queues, () => undefined);
  }

  static #over(
    native: NativeQueuePair,
    sizes: RingSizes,
    completions: readonly CompletionQueue[],
    onClosed: (queuePair: QueuePair) => void,
  ): QueuePair {
    try {
      return new QueuePair(native, sizes, completions, onClosed);
    } catch (error) {
      native.close();
      throw error;
    }
  }

  private constructor(
    native: NativeQueuePair,
    sizes: RingSizes,
    completions: readonly CompletionQueue[],
    onClosed: (queuePair: QueuePair) => void,
  ) {
    const { sends, receives, sendSge = 1, receiveSge = 1 } = sizes;
    this.#native = native;
    this.#sizes = { sends, receives, sendSge, receiveSge };
    this.number = native.number;
    const sendMemory = native.sends();
    const receiveMemory = native.receives();
    this.#memory = [sendMemory, receiveMemory];
    this.sends = new SendRing(
      sendMemory,
      { entries: sends, stride: native.sendStride, maxSge: sendSge },
      native.maxInline,
      native.postSends,
    );
    this.receives = new ReceiveRing(
      receiveMemory,
      { entries: receives, stride: native.receiveStride, maxSge: receiveSge },
      native.postReceives,
    );
    this.#completions = [...new Set(completions)];
    for (const queue of this.#completions) queue.add(this);
    this.#onClosed = onClosed;
  }

  get handle(): QueuePairHandle {
    return { id: this.#native.id, ...this.#sizes };
  }

  /** Bytes that a request may carry inline: as many as were asked for, or more. */
  get maxInline(): number {
    return this.sends.maxInline;
  }

  /** What the other side must know of this one. `psn`: as it is connected with. */
  address({ lid, gid }: Pick<RdmaPath, "lid" | "gid">, psn = 0): NativeQueuePairAddress {
    return { number: this.number, psn, lid, gid };
  }

  /** RESET to INIT: receives may be posted from then on. Errors: NO_PORT, IO. */
  initialize(options: NativeConnectionOptions): void {
    this.#native.initialize(options);
  }

  /** INIT to RTS, by the same port. Errors: PORT_DOWN, NO_GID, IO. */
  connect(options: NativeConnectionOptions, remote: NativeQueuePairAddress): void {
    this.#native.connect(options, remote);
  }

  /** All that is in flight ends with STATUS_FLUSHED; poll until nothing is. */
  toError(): void {
    this.#native.toError();
  }

  get state(): NativeQueuePairState {
    return this.#native.state();
  }

  /** For CompletionQueue alone; `number`: the upper half of a request's id. */
  completed(number: number): void {
    if (number >= IS_RECEIVE) this.receives.completed(number);
    else this.sends.completed(number);
  }

  /**
   * Posts what both rings hold. Errors: IO, with the errno; a device's own queue cannot be full, as it
   * has the rings' size.
   */
  flush(): void {
    const error = this.receives.flush() || this.sends.flush();
    if (error !== 0) throw this.#takesNone(error);
  }

  /** The same of sends alone. */
  flushSends(): void {
    const error = this.sends.flush();
    if (error !== 0) throw this.#takesNone(error);
  }

  #takesNone(error: number): P2pError {
    return new P2pError("IO", `queue pair ${this.number} takes no requests`, { errno: -error });
  }

  /**
   * The device uses none of its memory any more when this returns. Idempotent. Errors: IO, where the device
   * keeps it: close() may be called again.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#native.close();
    this.#isClosed = true;
    for (const queue of this.#completions) queue.remove(this);
    tryAll([
      ...this.#memory.map((memory) => () => {
        memory.close();
      }),
      () => {
        this.#onClosed(this);
      },
    ]);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
