import { tick } from "../../reactor/clock.js";
import { ControlBlock } from "../../reactor/control-block.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import type { LoopFailure, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import type { LoopCompletionQueue } from "./queues.js";
import { Sampler } from "./sampler.js";

/** Waits in vain, after which to look at the clock and the stop flag; a power of two. */
const LOOK_AFTER = 256;

/** Looks for a completion in one native call, which is a wait: one or two microseconds. */
export const LOOKS = 128;

/**
 * What all loops over RDMA queues have in common: waiting, giving up, and what counts. What runs for each
 * message is the subclasses', so that each has a loop of one shape, which neither allocates nor calls
 * native code beyond one call for a batch.
 */
export abstract class Loop {
  protected readonly job: RdmaPerfJob;
  /** The time when something was last posted or found, or looked at; see tick(). */
  protected readonly clock = new Float64Array(1);
  protected readonly sampler: Sampler;
  /** The first; what comes after it may come of it. */
  protected failure: LoopFailure | null = null;
  protected posted: Float64Array | null = null;
  protected completed: Float64Array | null = null;

  readonly #control: ControlBlock;
  readonly #thread: EngineThread;
  readonly #yieldAfter: number;
  /** Waits in vain since something came. */
  #waits = 0;
  /** When nothing had come for a while. */
  readonly #waitsSince = new Float64Array(1);

  constructor(job: RdmaPerfJob, thread: EngineThread) {
    this.job = job;
    this.#thread = thread;
    this.#yieldAfter = job.yieldAfter;
    this.#control = new ControlBlock(job.control);
    this.sampler = new Sampler(job.durationNs);
  }

  abstract run(): RdmaPerfOutcome;

  /** False where the owner wants no more: see `failure`. */
  protected isWanted(): boolean {
    return !this.#control.isStopping || this.#stop();
  }

  /** `messages`: that counted, where no time ended the test. `sent`: see RdmaPerfOutcome. */
  protected outcome(messages: number, sent: number | null): RdmaPerfOutcome {
    const isSampled = this.job.durationNs !== null;
    // Of a test that has failed nobody wants times, which take long to hand over.
    const isWell = this.failure === null;
    return {
      sent,
      messages: isSampled ? this.sampler.messages : messages,
      runtimeNs: isSampled ? this.sampler.runtimeNs : this.sampler.sinceBegin(this.clock),
      posted: isWell ? this.posted : null,
      completed: isWell ? this.completed : null,
      failure: this.failure,
    };
  }

  /** Something came. */
  protected came(): void {
    this.#waits = 0;
  }

  /** Nothing did; false where there is no point in looking again: see `failure`. */
  protected wait(): boolean {
    this.#waits++;
    if (this.#waits > this.#yieldAfter) this.#thread.yieldProcessor();
    return (this.#waits & (LOOK_AFTER - 1)) !== 0 || this.#look();
  }

  #look(): boolean {
    if (this.#control.isStopping) return this.#stop();
    if (!this.isSound()) return false;
    tick(this.clock);
    if (this.#waits === LOOK_AFTER) this.#waitsSince[0] = this.clock[0]!;
    if (this.clock[0]! - this.#waitsSince[0]! < this.job.timeoutNs) return true;
    this.failure ??= { kind: "timeout" };
    return false;
  }

  /** Looked at now and then while nothing comes; false where nothing will: see `failure`. */
  protected isSound(): boolean {
    return true;
  }

  #stop(): boolean {
    // Of a test by time it is the other side that says when it is over.
    if (!this.sampler.isDone) this.failure ??= { kind: "stopped" };
    return false;
  }

  /** Whether one of the completions that were just polled is well; else `failure` says what it is. */
  protected isWell(queue: LoopCompletionQueue, index: number, isReceive: boolean): boolean {
    const status = queue.status(index);
    if (status === 0) return true;
    const vendorError = queue.vendorError(index);
    this.failure ??= { kind: "status", status, vendorError, isReceive };
    return false;
  }
}
