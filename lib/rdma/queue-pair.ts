import type { NativeMemory } from "../addon.js";
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

export interface QueuePairOptions {
  /** Requests to send that may be in flight. */
  readonly sends: number;
  readonly receives: number;
  /** Gather entries of a request, 1 to 16. Default: 1. */
  readonly sendSge?: number;
  readonly receiveSge?: number;
  /** Bytes that may be sent inline. Default: 0. */
  readonly inlineBytes?: number;
  readonly sendCompletions: CompletionQueue;
  /** Default: those of sends. */
  readonly receiveCompletions?: CompletionQueue;
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
    try {
      return new QueuePair(native, options, onClosed);
    } catch (error) {
      native.close();
      throw error;
    }
  }

  private constructor(
    native: NativeQueuePair,
    options: QueuePairOptions,
    onClosed: (queuePair: QueuePair) => void,
  ) {
    const { sendCompletions, receiveCompletions = sendCompletions } = options;
    this.#native = native;
    this.number = native.number;
    const sends = native.sends();
    const receives = native.receives();
    this.#memory = [sends, receives];
    this.sends = new SendRing(
      sends,
      { entries: options.sends, stride: native.sendStride, maxSge: options.sendSge ?? 1 },
      native.maxInline,
      (first, count) => native.postSends(first, count),
    );
    this.receives = new ReceiveRing(
      receives,
      { entries: options.receives, stride: native.receiveStride, maxSge: options.receiveSge ?? 1 },
      (first, count) => native.postReceives(first, count),
    );
    this.#completions = [...new Set([sendCompletions, receiveCompletions])];
    for (const queue of this.#completions) queue.add(this);
    this.#onClosed = onClosed;
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
    if (error !== 0)
      throw new P2pError("IO", `queue pair ${this.number} takes no requests`, { errno: -error });
  }

  /** The device uses none of its memory any more when this returns. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const queue of this.#completions) queue.remove(this);
    tryAll([
      () => {
        this.#native.close();
      },
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
