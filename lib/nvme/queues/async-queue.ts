import { P2pError } from "../../errors.js";
import { isAbortStatus } from "../status.js";
import type { QueuePair } from "./queue-pair.js";

/** Told exactly once how a command ended. */
export interface Waiter {
  /** Which command it is, for messages: `Read of blocks 0 to 7 of namespace 1`. */
  readonly what: string;
  /** The command completed; `result` is dword 0 of its completion. */
  completed(status: number, result: number, slot: number): void;
  /** The command has ended without a result, and the controller reaches its memory no more. */
  failed(error: Error): void;
}

/** What a queue asks of its controller. */
export interface QueueOwner {
  /** False where the controller works no more: then it has failed the queue. */
  check(): boolean;
  /**
   * A command is out for longer than it may be. `isOver` says whether it still is. Must see to it
   * that it ends: by its completion, by end() or by fail().
   */
  overdue(queue: AsyncQueue, commandId: number, isOver: () => boolean): void;
  /** The queue has a `fault`. Must see to it that end() or fail() is called once that is safe. */
  distrust(queue: AsyncQueue, fault: P2pError): void;
}

/** How often a queue that waits looks at its controller and at the age of its commands, milliseconds. */
const LOOK_INTERVAL = 100;

/**
 * A queue pair for code that awaits: one poll loop, which takes a turn of the event loop at a time
 * while anything is outstanding, and finishes all that has completed in that turn. With interrupts it
 * looks when one comes, and now and then, in case one got lost; and so it does, without interrupts,
 * while all that is outstanding may take for ever.
 */
export class AsyncQueue {
  readonly queue: QueuePair;
  readonly #owner: QueueOwner;
  readonly #timeout: number;
  /** By slot, which is the cookie of its command. */
  readonly #waiters: (Waiter | null)[];
  /** By slot: when its command will have taken too long. */
  readonly #due: Float64Array;
  /** By slot: how often it was released. A Waiter may have several commands, one after the other too. */
  readonly #generations: Uint32Array;
  /** Slots whose commands have taken too long. */
  readonly #overdue = new Set<number>();
  readonly #freeSlots: number[];
  /** Slots whose commands may take for ever. */
  readonly #patient = new Set<number>();
  readonly #hasInterrupts: boolean;
  #interrupts = 0;
  /** Interrupts there had been when a look found what none of them had told of; -1: no such look. */
  #unannounced = -1;
  #hasWarned = false;
  #timer: NodeJS.Timeout | null = null;
  #broken: Error | null = null;
  #suspended: Error | null = null;
  #onChange: (() => void) | null = null;
  #isScheduled = false;
  #lastLook = 0;

  /**
   * `timeout`: how long a command may take, milliseconds. `hasInterrupts`: interrupted() is called
   * when something has completed.
   */
  constructor(queue: QueuePair, timeout: number, owner: QueueOwner, hasInterrupts = false) {
    this.queue = queue;
    this.#hasInterrupts = hasInterrupts;
    this.#timeout = timeout;
    this.#owner = owner;
    const slots = queue.depth - 1;
    this.#waiters = new Array<Waiter | null>(slots).fill(null);
    this.#due = new Float64Array(slots).fill(Infinity);
    this.#generations = new Uint32Array(slots);
    this.#freeSlots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
  }

  /** False also while it is suspended. */
  get hasRoom(): boolean {
    return this.#suspended === null && this.room > 0;
  }

  /** Slots that nobody has. */
  get room(): number {
    return this.#freeSlots.length;
  }

  /** How many there are. */
  get slots(): number {
    return this.#waiters.length;
  }

  get isIdle(): boolean {
    return this.#freeSlots.length === this.#waiters.length;
  }

  /** Why no command is taken any more; null while all is well. */
  get broken(): Error | null {
    return this.#broken;
  }

  /** Why no command is taken now: broken, or suspended; null where it may be. */
  get closed(): Error | null {
    return this.#broken ?? this.#suspended;
  }

  /** Calls `listener` when the queue was broken, or takes commands again after it was suspended. */
  set onChange(listener: () => void) {
    this.#onChange = listener;
  }

  /** Throws what broke the queue, if anything did. */
  assertUsable(): void {
    if (this.#broken) throw this.#broken;
  }

  /**
   * Takes a slot, 0 to depth - 2, for a command whose cookie it must be. There must be room.
   * Follow it with queue.submit() and, once for a batch, with start(). `timeout`, milliseconds:
   * Infinity for a command that may take for ever. Errors: QUEUE_FULL; why it is suspended.
   */
  claim(waiter: Waiter, timeout = this.#timeout): number {
    if (this.#suspended) throw this.#suspended;
    const slot = this.#freeSlots.pop();
    if (slot === undefined) throw new P2pError("QUEUE_FULL", "every slot of the queue is taken");
    this.#waiters[slot] = waiter;
    this.#due[slot] = performance.now() + timeout;
    if (timeout === Infinity) this.#patient.add(slot);
    return slot;
  }

  /** Rings the doorbell and sees to it that completions are polled for. */
  start(): void {
    this.queue.ring();
    this.#schedule();
  }

  /** An interrupt came that may be this queue's. */
  interrupted(): void {
    this.#interrupts++;
    if (!this.#isOpen()) return;
    this.#poll();
    this.#schedule();
  }

  /** Takes no commands and looks for no completions from now on; what is outstanding stays so. */
  suspend(reason: Error): void {
    this.#suspended = reason;
  }

  /**
   * For a suspended queue, once the controller has forgotten it: what had completed before has its
   * result, and the rest fails: commands that were overdue with TIMEOUT and what was done about it
   * (`its queue was deleted`), the others with `bystanders`.
   */
  end(done: string, bystanders: P2pError): void {
    this.#finish((waiter, isOverdue) => {
      waiter.failed(isOverdue ? this.#timeoutError(waiter, done) : bystanders);
    });
  }

  /** Takes commands again: the queues have been created anew, with zeroed memory. */
  resume(): void {
    this.queue.reset();
    this.#suspended = null;
    this.#broken = null;
    this.#onChange?.();
  }

  /**
   * Ends what is outstanding, as end() does, but all of it with `error`, and takes no more until
   * resume(). The controller must not reach memory any more. The first error is the one that stays.
   */
  fail(error: Error): void {
    if (this.#broken) return;
    this.#broken = error;
    this.#finish((waiter) => {
      waiter.failed(error);
    });
    this.#onChange?.();
  }

  /** Sees to it that somebody looks for completions, while any are to come. */
  #schedule(): void {
    // Those who were told may have suspended it, or have begun more.
    if (!this.#isOpen() || this.isIdle) return;
    const isAwaited = this.#freeSlots.length + this.#patient.size < this.#waiters.length;
    if (isAwaited && !this.#hasInterrupts) this.#lookSoon();
    else this.#lookLater(isAwaited);
  }

  #lookSoon(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      if (!this.#isOpen()) return;
      this.#poll();
      this.#schedule();
    });
  }

  /** What is awaited keeps the process alive; what may take for ever does not. */
  #lookLater(isAwaited: boolean): void {
    this.#timer ??= setTimeout(() => {
      // Behind the interrupts that have come by now: they are not lost.
      setImmediate(() => {
        this.#timer = null;
        if (!this.#isOpen()) return;
        const found = this.#poll();
        if (this.#hasInterrupts) this.#missInterrupt(found);
        this.#schedule();
      });
    }, LOOK_INTERVAL);
    if (isAwaited) this.#timer.ref();
    else this.#timer.unref();
  }

  /** Warns, once, where not even by the next look an interrupt has told of what this one found. */
  #missInterrupt(found: boolean): void {
    const isMissed = this.#unannounced === this.#interrupts;
    this.#unannounced = found ? this.#interrupts : -1;
    if (!isMissed || this.#hasWarned) return;
    this.#hasWarned = true;
    const { device, qid } = this.queue;
    process.emitWarning(`queue ${qid} of ${device} completes commands without an interrupt`, {
      code: "P2PMEM_MISSED_INTERRUPT",
      detail:
        "they are found by a look ten times a second; do without interrupts to have them sooner",
    });
  }

  #isOpen(): boolean {
    return this.#broken === null && this.#suspended === null;
  }

  /** True where something had completed. */
  #poll(): boolean {
    const finished = this.#collect();
    if (finished.length > 0) this.queue.acknowledge();
    for (const { waiter, status, result, slot, isOverdue } of finished)
      if (isOverdue && isAbortStatus(status))
        waiter.failed(this.#timeoutError(waiter, "it was aborted"));
      else waiter.completed(status, result, slot);
    if (this.queue.fault) this.#owner.distrust(this, this.queue.fault);
    else this.#watch(performance.now());
    return finished.length > 0;
  }

  /** All that has completed: the queue is done with it before anyone is told. */
  #collect(): Finished[] {
    const finished: Finished[] = [];
    for (let slot = this.queue.next(); slot >= 0; slot = this.queue.next()) {
      const waiter = this.#waiters[slot];
      if (!waiter) continue;
      const isOverdue = this.#release(slot);
      finished.push({
        waiter,
        status: this.queue.status,
        result: this.queue.result,
        slot,
        isOverdue,
      });
    }
    return finished;
  }

  /**
   * Ends everything. What the controller aborted as it forgot the queue has failed as the rest.
   * Nothing is acknowledged: the doorbells belong to no queue any more, or to the next one.
   */
  #finish(fail: (waiter: Waiter, isOverdue: boolean) => void): void {
    for (const { waiter, status, result, slot, isOverdue } of this.#collect())
      if (isAbortStatus(status)) fail(waiter, isOverdue);
      else waiter.completed(status, result, slot);
    for (const [slot, waiter] of this.#waiters.entries())
      if (waiter) fail(waiter, this.#release(slot));
  }

  /** Is there still someone to wait for, and has any command taken too long? */
  #watch(now: number): void {
    if (now - this.#lastLook < LOOK_INTERVAL) return;
    this.#lastLook = now;
    if (!this.#owner.check()) return;
    for (const [slot, due] of this.#due.entries()) {
      if (due > now) continue;
      const generation = this.#generations[slot];
      this.#due[slot] = Infinity;
      this.#overdue.add(slot);
      const isOver = (): boolean => this.#generations[slot] !== generation;
      this.#owner.overdue(this, this.queue.commandIdOf(slot), isOver);
    }
  }

  #timeoutError({ what }: Waiter, done: string): P2pError {
    const seconds = this.#timeout / 1000;
    return new P2pError("TIMEOUT", `${what} did not complete in ${seconds} s; ${done}`, {
      device: this.queue.device,
      hint: "the device is slow or hangs: look at its health, or allow more time (--timeout)",
    });
  }

  /** True where its command was overdue. */
  #release(slot: number): boolean {
    this.#waiters[slot] = null;
    this.#generations[slot]!++;
    this.#due[slot] = Infinity;
    this.#freeSlots.push(slot);
    this.#patient.delete(slot);
    return this.#overdue.delete(slot);
  }
}

interface Finished {
  waiter: Waiter;
  status: number;
  result: number;
  slot: number;
  isOverdue: boolean;
}
