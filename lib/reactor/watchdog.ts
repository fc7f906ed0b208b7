import type { P2pError } from "../errors.js";
import { isAbortStatus } from "../nvme/status.js";
import type { ControlBlock } from "./control-block.js";
import type { Flight } from "./flight.js";

/** How often a reactor looks for commands that are overdue, nanoseconds. */
const SCAN_NS = 100e6;
/** Once a command was seen to and still does not end it is reported again, nanoseconds at most. */
const MAX_REPEAT_NS = 5e9;

/** What the watchdog needs of a QueuePair. */
interface WatchedQueue {
  readonly fault: P2pError | null;
  commandIdOf(cookie: number): number;
}

/** One of a reactor's queues. */
export interface Watched {
  queue: WatchedQueue;
  /** A cookie is a slot's number, shifted by so many bits, plus the number of the command in it. */
  commandShift: number;
  /** How long a command may take, nanoseconds. */
  timeoutNs: number;
}

/** Why nothing more will come from a queue. `queue`: its number. */
export type QueueFailure =
  | { kind: "fault"; queue: number; message: string; hint: string }
  /** It was lost while its owner saw to a command that took too long: see `overdueCookie`. */
  | { kind: "timeout"; queue: number }
  /** The owner knows why. */
  | { kind: "lost"; queue: number };

/**
 * Whether the second of two failures is the one to keep. That a queue is lost may only follow from
 * what was done about a command that took too long on another.
 */
export function tellsMore(failure: { kind: string }, than: { kind: string } | null): boolean {
  return than === null || (than.kind === "lost" && failure.kind === "timeout");
}

/**
 * Sees to it that a reactor waits for nothing in vain: queues that cannot be trusted, queues that
 * their owner says are lost, and commands that take too long, also while others come and go. Of
 * these it tells the owner, one at a time, who has them aborted or the queue deleted; until one or
 * the other is there nothing may be submitted, on no queue of this reactor, since a reset may be next.
 * Other reactors with queues of that controller hear of it when their own queues are lost.
 */
export class Watchdog {
  /** When to look again, by the reactor's clock. */
  next = 0;
  /** Why something has been given up: the reason that tells most, see tellsMore(). */
  failure: QueueFailure | null = null;

  readonly #control: ControlBlock;
  readonly #flight: Flight;
  readonly #queues: readonly Watched[];
  readonly #isDead: boolean[];
  #losses = 0;
  #nextScan = 0;
  /** The queue of the command that the owner sees to; -1: there is none. */
  #overdueQueue = -1;
  #overdueCookie = -1;
  #reportedAt = 0;

  constructor(control: ControlBlock, flight: Flight, queues: readonly Watched[]) {
    this.#control = control;
    this.#flight = flight;
    this.#queues = queues;
    this.#isDead = queues.map(() => false);
  }

  /** A command is overdue, and what comes of it is open. */
  get isHolding(): boolean {
    return this.#overdueQueue >= 0;
  }

  /** The cookie of the command that is overdue, or was last. */
  get overdueCookie(): number {
    return this.#overdueCookie;
  }

  /** Nothing comes from this queue any more; it is not to be polled. */
  isDead(queue: number): boolean {
    return this.#isDead[queue]!;
  }

  /** Whether a command has failed because of what the owner does about the overdue one. */
  isEndOfOverdue(queue: number, status: number): boolean {
    return queue === this.#overdueQueue && isAbortStatus(status);
  }

  /**
   * Call it once `next` has come, and whenever nothing completes. True where what was held back for
   * an overdue command goes on, or is given up: see `failure`.
   */
  look(time: number): boolean {
    const wasHolding = this.#overdueQueue >= 0;
    const losses = this.#control.losses;
    for (let i = 0; i < this.#queues.length; i++) {
      if (this.#isDead[i]!) continue;
      const { fault } = this.#queues[i]!.queue;
      if (fault !== null) {
        const { message, hint = "" } = fault;
        this.#giveUp(i, { kind: "fault", queue: i, message, hint });
      } else if (losses !== this.#losses && this.#control.isLost(i)) {
        const kind = i === this.#overdueQueue ? "timeout" : "lost";
        this.#giveUp(i, { kind, queue: i });
      }
    }
    this.#losses = losses;
    this.#settleOverdue(time);
    if (time >= this.#nextScan) this.#scan(time);
    // What is held back waits for the overdue command, so that is looked at in each round.
    this.next = this.isHolding ? 0 : this.#nextScan;
    return wasHolding && this.#overdueQueue < 0;
  }

  /** Its commands count as over: they will not come, and their owner deletes the queue. */
  #giveUp(queue: number, failure: QueueFailure): void {
    this.#isDead[queue] = true;
    if (tellsMore(failure, this.failure)) this.failure = failure;
    this.#flight.drop(queue);
    if (queue === this.#overdueQueue) this.#endOverdue();
  }

  #settleOverdue(time: number): void {
    if (!this.isHolding) return;
    const { queue } = this.#queues[this.#overdueQueue]!;
    if (queue.commandIdOf(this.#overdueCookie) >= 0) return;
    this.#endOverdue();
    this.#nextScan = time; // another may be as late
  }

  #endOverdue(): void {
    this.#overdueQueue = -1;
    this.#control.withdraw();
  }

  #scan(time: number): void {
    this.#nextScan = time + SCAN_NS;
    if (this.isHolding) {
      const { timeoutNs } = this.#queues[this.#overdueQueue]!;
      if (time - this.#reportedAt >= Math.min(timeoutNs / 2, MAX_REPEAT_NS)) this.#report(time);
      return;
    }
    for (let i = 0; i < this.#queues.length; i++) {
      if (this.#isDead[i]!) continue;
      const { queue, commandShift, timeoutNs } = this.#queues[i]!;
      const slot = this.#flight.findOlder(i, time - timeoutNs);
      if (slot < 0) continue;
      let cookie = slot << commandShift;
      while (queue.commandIdOf(cookie) < 0) cookie++;
      this.#overdueQueue = i;
      this.#overdueCookie = cookie;
      this.#report(time);
      return;
    }
  }

  #report(time: number): void {
    const { queue } = this.#queues[this.#overdueQueue]!;
    this.#reportedAt = time;
    this.#control.report(this.#overdueQueue, queue.commandIdOf(this.#overdueCookie));
  }
}
