import { readTime, tick } from "../../reactor/clock.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import { SendFlag } from "../../rdma/spec.js";
import { UNSETTLED } from "../plan.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import { Loop, LOOKS } from "./loop.js";
import type { LoopCompletionQueue, LoopQueuePair } from "./queues.js";

/**
 * One message at a time: this side's and the other's in turn, or reads. When each was posted is kept, of
 * those that count.
 */
export abstract class Turns extends Loop {
  protected readonly queuePair: LoopQueuePair;
  protected readonly lane: LaneJob;
  readonly #completions: LoopCompletionQueue;
  /** The turn of what was posted last is the last one. */
  #isOver = false;

  constructor(
    job: RdmaPerfJob,
    queuePair: LoopQueuePair,
    completions: LoopCompletionQueue,
    thread: EngineThread,
  ) {
    super(job, thread);
    this.queuePair = queuePair;
    this.lane = job.lanes[0]!;
    this.#completions = completions;
    if (job.iterations !== null && job.keepsTimes) this.posted = new Float64Array(job.iterations);
  }

  /** What there is to do of turn `number`, from 0 on; false where it could not be done. */
  protected abstract turn(number: number): boolean;

  run(): RdmaPerfOutcome {
    const { warmUp, iterations } = this.job;
    const total = warmUp + (iterations ?? Infinity);
    let number = 0;
    for (; number < total; number++) {
      // Not at the last of them alone: V8 would compile the loop anew just when it counts.
      if (number <= warmUp) {
        tick(this.clock);
        this.sampler.begin(this.clock);
      }
      if (!this.turn(number) || this.#isOver) break;
    }
    tick(this.clock);
    if (this.failure === null) this.settle(0);
    return this.outcome(Math.max(0, number - warmUp), number);
  }

  /** Posts message `number`, which is the same as all others. */
  protected post(number: number): void {
    const { sends } = this.queuePair;
    if (number < sends.records) this.#write();
    else sends.repeat();
    this.queuePair.flush();
    readTime(sends.postedAt, this.clock);
    // Also of the warm-up: V8 would compile this anew when the first that counts is kept.
    if (this.posted !== null) this.posted[Math.max(0, number - this.job.warmUp)] = this.clock[0]!;
    // Looked at here, not between an answer and what it is answered with. Whoever answers goes on until the
    // other side says that the time is over: it waits for the answer.
    const goesOn = this.sampler.goesOn(number + 1, this.clock) || !this.job.begins;
    this.#isOver = !goesOn || !this.isWanted();
  }

  #write(): void {
    const { opcode, size } = this.job;
    const { local, inline, lkey, remote, rkey } = this.lane;
    const { sends } = this.queuePair;
    if (inline === null) sends.write(0, opcode, SendFlag.SIGNALED, local, size, lkey, remote, rkey);
    else sends.writeInline(0, opcode, SendFlag.SIGNALED, inline, size, remote, rkey);
  }

  /** Where too many are in flight, waits until hardly any is; false where one has failed. See UNSETTLED. */
  protected settleSome(): boolean {
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

/** Reads: each takes a round trip by itself. */
export class ReadTurns extends Turns {
  protected turn(number: number): boolean {
    this.post(number);
    return this.settle(0);
  }
}
