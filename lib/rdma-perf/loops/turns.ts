import { readTime, tick } from "../../reactor/clock.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import type { InlineAddress } from "../../rdma/memory-region.js";
import { SendFlag } from "../../rdma/spec.js";
import { UNSETTLED } from "../plan.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import { Loop, LOOKS } from "./loop.js";
import type { LoopCompletionQueue, LoopQueuePair } from "./queues.js";

/** Bytes of a message that only warms up, at most: V8 wants many of them, not long ones. */
const SHORT = 512;

/**
 * One message at a time: this side's and the other's in turn, or reads. When each had been posted is kept, of
 * those that count. What one side does between the other's message and its own is all that is measured of
 * it: so it is no more than to hand over a request that has been written before.
 */
export abstract class Turns extends Loop {
  protected readonly queuePair: LoopQueuePair;
  protected readonly lane: LaneJob;
  /** This side's messages are so many ahead of those that it takes. */
  protected readonly ahead: 0 | 1;
  readonly #completions: LoopCompletionQueue;
  /**
   * So many messages are short. The last of the warm-up are not: by those that count the device has seen all
   * of the memory.
   */
  readonly #shorts: number;
  /** Messages of each side. Of a test by time it is known when that is over. */
  #total: number;

  constructor(
    job: RdmaPerfJob,
    queuePair: LoopQueuePair,
    completions: LoopCompletionQueue,
    thread: EngineThread,
  ) {
    super(job, thread);
    this.queuePair = queuePair;
    this.lane = job.lanes[0]!;
    this.ahead = job.begins ? 1 : 0;
    this.#completions = completions;
    this.#shorts = Math.max(0, job.warmUp - queuePair.sends.records);
    this.#total = job.warmUp + (job.iterations ?? Infinity);
    if (job.iterations !== null && job.keepsTimes) this.posted = new Float64Array(job.iterations);
  }

  /** Waits for the other side's message `number`, from 0 on; false where it does not come. */
  protected abstract take(number: number): boolean;

  run(): RdmaPerfOutcome {
    let taken = 0;
    this.#write(0);
    if (this.job.begins) this.flush();
    let goesOn = !this.job.begins || this.#wasPosted(0);
    while (goesOn && taken < this.#total) {
      const number = taken + this.ahead;
      // Known before: between what is taken and what is posted there is as little as can be.
      const isLast = number >= this.#total;
      if (!this.take(taken)) break;
      if (!isLast) {
        this.flush();
        goesOn = this.#wasPosted(number);
      }
      taken++;
    }
    tick(this.clock);
    if (this.failure === null) this.settle(0);
    return this.outcome(Math.max(0, taken - this.job.warmUp), taken);
  }

  /** Message `number` has been posted: writes the next one. False where one has failed. */
  #wasPosted(number: number): boolean {
    const { warmUp, begins } = this.job;
    readTime(this.queuePair.sends.postedAt, this.clock);
    if (number <= warmUp) this.sampler.begin(this.clock);
    // Also of the warm-up: V8 would compile this anew when the first that counts is kept.
    if (this.posted !== null) this.posted[Math.max(0, number - warmUp)] = this.clock[0]!;
    // Whoever answers goes on until the other side says that the time is over: it waits for the answer.
    const goesOn = this.sampler.goesOn(number + 1, this.clock) || !begins;
    if (!goesOn || !this.isWanted()) this.#total = number + 1;
    if (!this.#settleSome()) return false;
    this.#write(number + 1);
    return true;
  }

  /** Posts what was written. */
  protected flush(): void {
    this.queuePair.flushSends();
  }

  /** Message `number`, which is the same as all others, or as all that are short. */
  #write(number: number): void {
    const { sends } = this.queuePair;
    const first = number < this.#shorts ? 0 : this.#shorts;
    if (number - first < sends.records) this.#writeAnew(number);
    else sends.repeat();
  }

  #writeAnew(number: number): void {
    const { opcode, size } = this.job;
    const { local, inline, lkey, remote, rkey } = this.lane;
    const { sends } = this.queuePair;
    const length = number < this.#shorts ? Math.min(SHORT, size) : size;
    // The end of the message, which has the byte that the other side may look at.
    const from = size - length;
    const to = remote + from;
    const flags = SendFlag.SIGNALED;
    if (inline === null) sends.write(0, opcode, flags, local + from, length, lkey, to, rkey);
    else sends.writeInline(0, opcode, flags, (inline + from) as InlineAddress, length, to, rkey);
  }

  /** Where too many are in flight, waits until hardly any is; false where one has failed. See UNSETTLED. */
  #settleSome(): boolean {
    return this.queuePair.sends.inFlight <= UNSETTLED || this.settle(1);
  }

  /** Waits until no more than `left` of what was posted are in flight; false where one has failed. */
  protected settle(left: 0 | 1): boolean {
    const { sends } = this.queuePair;
    while (sends.inFlight > left) {
      const found = this.#completions.poll(sends.inFlight, LOOKS);
      if (found === 0) {
        if (!this.wait()) return false;
        continue;
      }
      this.came();
      if (!this.#areWell(found)) return false;
    }
    return true;
  }

  /** An answer to what has failed never comes. */
  protected override isSound(): boolean {
    return this.#areWell(this.#completions.poll());
  }

  #areWell(found: number): boolean {
    for (let i = 0; i < found; i++) if (!this.isWell(this.#completions, i, false)) return false;
    return true;
  }
}

/** Reads: what answers one is its own completion. */
export class ReadTurns extends Turns {
  protected take(): boolean {
    return this.settle(0);
  }
}
