import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { Hardware } from "./hardware.js";
import { controllerError } from "./lifecycle.js";
import { RESERVED_SLOTS, type AdminCommand } from "./queues/admin-queue.js";
import type { AsyncQueue, QueueOwner } from "./queues/async-queue.js";
import type { AdminExecutor } from "./queues/queue-set.js";
import { AdminOpcode } from "./spec.js";

/** How a command that did not complete was ended; see NvmeController.recover(). */
export type RecoveryOutcome = "aborted" | "queue-deleted" | "reset";

/** What recovery asks of the controller that it is for. */
export interface RecoveryOptions {
  /** How long a command may take, milliseconds. */
  timeout: number;
  /** To be done before each start, while it is disabled. */
  prepare(): void;
  /** After a reset: sets again what the driver had set, but for its I/O queues. */
  startAgain(): Promise<void>;
  /** What it had lent, and what its queues had in flight, is over: it is lost, or is being reset. */
  onInterrupted(error: P2pError): void;
}

/** Most that each step before a reset is given, milliseconds. */
const LONGEST_GRACE = 5_000;
/** Errors of a controller that a reset of its PCI function may bring back. */
const RESET_HELPS = new Set([
  "BAD_COMPLETION",
  "CONTROLLER_FATAL",
  "DEVICE_GONE",
  "NOT_READY",
  "TIMEOUT",
]);
/** How often a wait looks whether it is over, milliseconds. */
const LOOK_INTERVAL = 2;
/** Most that are aborted at once, whatever the controller's limit: the rest is for what comes next. */
const MOST_ABORTS = RESERVED_SLOTS - 2;

/**
 * What happens when a controller does not do as it should: one step after the other until nothing of
 * what went wrong can reach memory any more. Abort, which spares all other commands; deletion of the
 * queue, which spares other queues; a controller reset, or a reset of the device where that does not
 * help; and at last it is cut off from the bus, and lost until somebody resets it.
 *
 * Steps that others feel are taken in turn, never two at once.
 */
export class Recovery implements QueueOwner {
  readonly #hardware: Hardware;
  readonly #options: RecoveryOptions;
  /** The driver's own queues, by identifier: they come back by themselves. */
  readonly #own = new Map<number, AsyncQueue>();
  /** When Abort last ended a command, by its queue and its identifier. */
  readonly #abortedAt = new Map<number, number>();
  /** Its own commands do not wait behind those of others. */
  readonly #admin: AdminExecutor = {
    execute: (command: AdminCommand) => this.#hardware.admin.execute(command, undefined, true),
  };
  #aborts = 0;
  #turn: Promise<unknown> = Promise.resolve();
  /** Why nothing completes any more; null while all is well. */
  #lost: P2pError | null = null;
  /** Why it is being reset; null while it is not. */
  #resetting: P2pError | null = null;
  /** What took it out of use while it was being reset, which must not bring it back then. */
  #lostMeanwhile: P2pError | null = null;
  #isStarting = false;
  #isClosed = false;

  constructor(hardware: Hardware, options: RecoveryOptions) {
    this.#hardware = hardware;
    this.#options = options;
  }

  /** Why nothing completes any more; null while all is well. */
  get lost(): P2pError | null {
    return this.#lost;
  }

  /** How long a step is waited for before the next one, milliseconds. */
  get grace(): number {
    return Math.min(this.#options.timeout, LONGEST_GRACE);
  }

  /** From now on looks after a queue that the driver itself polls. */
  adopt(qid: number, queue: AsyncQueue): void {
    this.#own.set(qid, queue);
  }

  /**
   * Starts the controller: disables it, prepares and enables it, and does `work` with its admin
   * queue. A controller that hangs or fails meanwhile makes that fail; a reset of the device is then
   * tried, once. Errors: those of Hardware.disable() and enable(), TIMEOUT, BAD_COMPLETION, and those
   * of `work`.
   */
  async open(work: () => Promise<void>): Promise<void> {
    await this.#withReset(() => this.#start(work));
  }

  /**
   * Throws where nothing that was submitted to a queue pair will complete any more; without one, to
   * any of the controller's.
   */
  assertAlive(qid?: number): void {
    if (this.#lost) throw this.#lost;
    const loss = qid === undefined ? null : this.#hardware.queues.lossOf(qid);
    if (loss) throw loss.error;
    if (this.#resetting) throw this.#resetting;
    try {
      this.#hardware.lifecycle.assertRunning();
    } catch (error) {
      this.lose(error as P2pError);
      throw error;
    }
  }

  /** Waits for the end of a reset, however it ends. */
  async ready(): Promise<void> {
    while (this.#resetting) await this.#turn;
  }

  /** It is of no use any more until reset(): all that is in flight ends with `error`. Idempotent. */
  lose(error: P2pError): void {
    if (this.#isStarting || this.#resetting) {
      this.#lostMeanwhile ??= error;
      this.#failStart(error);
    } else if (!this.#lost) {
      this.#giveUp(error);
      this.#tellInterrupted(error);
    }
  }

  /** See NvmeController.recover(). */
  async recover(
    qid: number,
    commandId: number,
    isOver?: () => boolean,
    why = this.#describeTimeout(qid),
  ): Promise<RecoveryOutcome> {
    const isTried = this.#lost !== null || this.#resetting !== null || this.#isClosed;
    const { queues } = this.#hardware;
    const mayAbort = !isTried && commandId >= 0 && queues.has(qid);
    if (mayAbort && (await this.#abort(qid, commandId, isOver))) return "aborted";
    return this.#inTurn(async () => {
      if (isOver?.() === true) return "aborted";
      if (this.#lost) throw this.#lost;
      if (!queues.has(qid)) throw this.#error("NO_QUEUE", `it has no queue pair ${qid}`);
      const loss = queues.lossOf(qid);
      if (loss) return loss.by;
      if (qid !== 0 && (await this.#deleteQueue(qid, why))) return "queue-deleted";
      await this.#reset(why);
      return "reset";
    });
  }

  /** See NvmeController.reset(). */
  reset(): Promise<void> {
    return this.#inTurn(() => this.#reset("as it was asked for"));
  }

  /**
   * Nothing is recovered any more. Waits for what is under way, and deletes the I/O queues as far as
   * the controller obeys; `error` is for what is in flight there, at end().
   */
  async close(error: P2pError): Promise<void> {
    this.#isClosed = true;
    await this.#turn;
    const { queues } = this.#hardware;
    for (const qid of queues.ioQueues) {
      if (queues.lossOf(qid)) continue;
      this.#own.get(qid)?.suspend(error);
      const isDeleted = await this.#within(queues.delete(qid, this.#admin)).then(
        () => true,
        () => false,
      );
      if (!isDeleted) break;
    }
  }

  /** The controller is cut off, and then all that waits is told `error`. */
  end(error: P2pError): void {
    if (!this.#lost) this.#giveUp(error);
  }

  check(): boolean {
    try {
      if (this.#isStarting) this.#hardware.lifecycle.assertRunning();
      else this.assertAlive();
      return true;
    } catch (error) {
      if (this.#isStarting) this.#failStart(error as P2pError);
      return false;
    }
  }

  overdue({ queue: { qid } }: AsyncQueue, commandId: number, isOver: () => boolean): void {
    if (this.#isStarting)
      this.#failStart(this.#error("TIMEOUT", `while it starts, ${this.#describeTimeout(qid)}`));
    // Where that fails the controller is lost, and the queue has been told.
    else this.recover(qid, commandId, isOver).catch(() => undefined);
  }

  distrust({ queue }: AsyncQueue, fault: P2pError): void {
    const { qid } = queue;
    if (this.#isStarting) this.#failStart(fault);
    else {
      this.#own.get(qid)?.suspend(fault);
      // Another step may bring the queue back before this one has its turn.
      const isOver = (): boolean => queue.fault !== fault;
      this.recover(qid, -1, isOver, fault.message).catch(() => undefined);
    }
  }

  /**
   * NVMe 1.4 §5.1. True where the command has ended, or is about to by its own completion; waits as
   * long as a step may take.
   */
  async #abort(qid: number, commandId: number, isOver?: () => boolean): Promise<boolean> {
    const key = qid * 2 ** 16 + commandId;
    const { timeout } = this.#options;
    const began = performance.now();
    // Another command of that identifier would not be overdue yet: it is the same, so that helped not.
    if (began - (this.#abortedAt.get(key) ?? -Infinity) < timeout) return false;
    const isLate = (): boolean => performance.now() - began >= this.grace;
    const limit = Math.min(this.#hardware.identity.abortLimit, MOST_ABORTS);
    for (;;) {
      // Its identifier would be another command's by then.
      if (isOver?.() === true) return true;
      if (this.#aborts < limit) break;
      if (isLate()) return false;
      await delay(LOOK_INTERVAL);
    }
    const isAborted = await this.#within(this.#sendAbort(qid, commandId)).catch(() => false);
    if (isOver === undefined) {
      if (isAborted) this.#abortedAt.set(key, began);
      return isAborted;
    }
    while (!isOver()) {
      if (isLate()) return false;
      await delay(LOOK_INTERVAL);
    }
    return true;
  }

  async #sendAbort(qid: number, commandId: number): Promise<boolean> {
    this.#aborts++;
    try {
      const cdw10 = (commandId << 16) | qid;
      const result = await this.#admin.execute({ opcode: AdminOpcode.ABORT, cdw10 });
      return (result & 1) === 0; // §5.1.1
    } finally {
      this.#aborts--;
    }
  }

  /** False where that did not go as it should: then only a reset helps. */
  async #deleteQueue(qid: number, why: string): Promise<boolean> {
    const { queues } = this.#hardware;
    const error = this.#error("ABORTED", `queue pair ${qid} was deleted: ${why}`);
    const own = this.#own.get(qid);
    own?.suspend(error);
    try {
      await this.#within(queues.delete(qid, this.#admin));
      if (own) {
        own.end("its queue was deleted", own.queue.fault ?? error);
        await this.#within(queues.recreate(qid, this.#admin));
        own.resume();
      } else queues.lose(qid, { by: "queue-deleted", error });
      return true;
    } catch {
      return false;
    }
  }

  /** Errors: those of open(); it is lost then. */
  async #reset(why: string): Promise<void> {
    const error = this.#error("CONTROLLER_RESET", `it was reset: ${why}`);
    const wasLost = this.#lost !== null;
    this.#resetting = error;
    this.#lostMeanwhile = null;
    for (const queue of this.#own.values()) queue.suspend(error);
    if (!wasLost) this.#tellInterrupted(error);
    try {
      await this.#withReset(async () => {
        this.#loseQueues(error);
        for (const queue of this.#own.values())
          queue.end("the controller was reset", queue.queue.fault ?? error);
        await this.#start(() => this.#startAgain());
      });
      this.#assertNotLostMeanwhile();
      this.#lost = null;
    } catch (failure) {
      this.#giveUp(failure as P2pError);
      throw failure;
    } finally {
      this.#resetting = null;
    }
  }

  async #startAgain(): Promise<void> {
    await this.#options.startAgain();
    for (const [qid, queue] of this.#own) {
      if (qid === 0) continue;
      await this.#hardware.queues.recreate(qid, this.#admin);
      queue.resume();
    }
  }

  /** Does `work` once the controller is disabled, and again if only a reset of the device may help. */
  async #withReset(work: () => Promise<void>): Promise<void> {
    const hardware = this.#hardware;
    try {
      await hardware.disable();
      await work();
    } catch (error) {
      const mayHelp = error instanceof P2pError && RESET_HELPS.has(error.code);
      if (!mayHelp || !hardware.device.resettable) throw error;
      try {
        await hardware.resetFunction();
        await work();
      } catch {
        throw error; // the first one says more
      }
    }
  }

  async #start(work: () => Promise<void>): Promise<void> {
    this.#isStarting = true;
    try {
      this.#options.prepare();
      this.#assertNotLostMeanwhile(); // or it would master the bus again
      this.#own.set(0, await this.#hardware.enable(this.#options.timeout, this));
      this.#assertNotLostMeanwhile();
      await work();
    } finally {
      this.#isStarting = false;
    }
  }

  #assertNotLostMeanwhile(): void {
    if (this.#lostMeanwhile) throw this.#lostMeanwhile;
  }

  /** Fails what the start waits for, once nothing that it submitted reaches memory. */
  #failStart(error: P2pError): void {
    this.#hardware.cutOff();
    this.#hardware.adminQueue?.fail(error);
  }

  /** What the listener throws is for the process, as with any callback, and not for who recovers. */
  #tellInterrupted(error: P2pError): void {
    try {
      this.#options.onInterrupted(error);
    } catch (failure) {
      queueMicrotask(() => {
        throw failure;
      });
    }
  }

  #giveUp(error: P2pError): void {
    this.#lost = error;
    this.#hardware.cutOff();
    this.#loseQueues(error);
    for (const queue of this.#own.values()) queue.fail(error);
  }

  /** Those of others, who have to let go of them, or to ask for them again. */
  #loseQueues(error: P2pError): void {
    const { queues } = this.#hardware;
    for (const qid of queues.ioQueues)
      if (!this.#own.has(qid)) queues.lose(qid, { by: "reset", error });
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => {
      if (this.#isClosed) throw this.#error("CLOSED", "it was closed");
      return step();
    });
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Errors: TIMEOUT after the time that a step may take; then nobody hears how it went on. */
  #within<T>(step: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(this.#error("TIMEOUT", `no answer in ${this.grace} ms`));
      }, this.grace);
      step.then(resolve, reject).finally(() => {
        clearTimeout(timer);
      });
    });
  }

  #describeTimeout(qid: number): string {
    const queue = qid === 0 ? "the admin queue" : `queue pair ${qid}`;
    return `a command of ${queue} did not complete in ${this.#options.timeout / 1000} s`;
  }

  #error(code: string, why: string): P2pError {
    return controllerError(this.#hardware.fn.address, code, why);
  }
}
