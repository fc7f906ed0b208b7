import { P2pError } from "../../errors.js";
import type { QueuePair } from "./queue-pair.js";

/** Told exactly once how a command ended. */
export interface Waiter {
  /** The command completed; `result` is dword 0 of its completion. */
  completed(status: number, result: number, slot: number): void;
  /** The command will not complete any more. */
  failed(error: Error): void;
}

/** What a queue asks of its controller. */
export interface QueueOwner {
  /** Throws where the controller is gone or has failed. */
  check(): void;
  /** Nothing will complete any more: must see to it that fail() is called once that is safe. */
  giveUp(error: Error): void;
}

/** How often a queue that waits asks whether the controller is still there, milliseconds. */
const HEALTH_INTERVAL = 100;

/**
 * A queue pair for code that awaits: one poll loop, which takes a turn of the event loop at a time
 * while anything is outstanding, and finishes all that has completed in that turn.
 */
export class AsyncQueue {
  readonly queue: QueuePair;
  readonly #owner: QueueOwner;
  readonly #timeout: number;
  /** By slot, which is the cookie of its command. */
  readonly #waiters: (Waiter | null)[];
  readonly #freeSlots: number[];
  #broken: Error | null = null;
  #isScheduled = false;
  #lastProgress = 0;
  #lastHealthCheck = 0;

  /** `timeout`, milliseconds: with no completion for so long the queue is given up. */
  constructor(queue: QueuePair, timeout: number, owner: QueueOwner) {
    this.queue = queue;
    this.#timeout = timeout;
    this.#owner = owner;
    const slots = queue.depth - 1;
    this.#waiters = new Array<Waiter | null>(slots).fill(null);
    this.#freeSlots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  get hasRoom(): boolean {
    return this.#freeSlots.length > 0;
  }

  get isIdle(): boolean {
    return this.#freeSlots.length === this.#waiters.length;
  }

  /** Why no command is taken any more; null while all is well. */
  get broken(): Error | null {
    return this.#broken;
  }

  /** Throws what broke the queue, if anything did. */
  assertUsable(): void {
    if (this.#broken) throw this.#broken;
  }

  /**
   * Takes a slot, 0 to depth - 2, for a command whose cookie it must be. There must be room.
   * Follow it with queue.submit() and, once for a batch, with start().
   */
  claim(waiter: Waiter): number {
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new P2pError("QUEUE_FULL", "every slot of the queue is taken");
    this.#waiters[slot] = waiter;
    return slot;
  }

  /** Rings the doorbell and sees to it that completions are polled for. */
  start(): void {
    this.queue.ring();
    if (this.#isScheduled) return;
    this.#lastProgress = performance.now();
    this.#schedule();
  }

  /** Fails all that is outstanding, and takes no more. The first error is the one that stays. */
  fail(error: Error): void {
    if (this.#broken) return;
    this.#broken = error;
    for (const [slot, waiter] of this.#waiters.entries()) {
      if (!waiter) continue;
      this.#release(slot);
      waiter.failed(error);
    }
  }

  #schedule(): void {
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (this.#broken) return;
      this.#poll();
      // A waiter may have failed the queue, or closed it.
      // eslint-disable-next-line @typescript-eslint/no-unnecessary-condition
      if (!this.#broken && !this.isIdle && !this.#isScheduled) this.#schedule();
    });
  }

  #poll(): void {
    const finished: [Waiter, number, number, number][] = [];
    for (let slot = this.queue.next(); slot >= 0; slot = this.queue.next()) {
      const waiter = this.#waiters[slot];
      if (!waiter) continue;
      this.#release(slot);
      finished.push([waiter, this.queue.status, this.queue.result, slot]);
    }
    const now = performance.now();
    if (finished.length > 0) {
      this.queue.acknowledge();
      this.#lastProgress = now;
    }
    for (const [waiter, status, result, slot] of finished) waiter.completed(status, result, slot);
    if (this.queue.fault) this.#owner.giveUp(this.queue.fault);
    else if (finished.length === 0) this.#watch(now);
  }

  /** Nothing has completed: is there still someone to wait for? */
  #watch(now: number): void {
    if (now - this.#lastHealthCheck < HEALTH_INTERVAL) return;
    this.#lastHealthCheck = now;
    try {
      this.#owner.check();
      if (now - this.#lastProgress >= this.#timeout)
        throw new P2pError(
          "TIMEOUT",
          `queue ${this.queue.qid} completed nothing for ${this.#timeout / 1000} s`,
          { device: this.queue.device, hint: "close the controller: that resets it" },
        );
    } catch (error) {
      this.#owner.giveUp(error as Error);
    }
  }

  #release(slot: number): void {
    this.#waiters[slot] = null;
    this.#freeSlots.push(slot);
  }
}
