import { tick } from "../../reactor/clock.js";
import type { EngineThread } from "../../reactor/engine-job.js";
import { SendFlag } from "../../rdma/spec.js";
import type { LaneJob, RdmaPerfJob, RdmaPerfOutcome } from "../job.js";
import { Loop } from "./loop.js";
import type { LoopCompletionQueue, LoopQueuePair } from "./queues.js";

/**
 * One message at a time: this side's and the other's in turn, or reads. When each was posted is kept, of
 * those that count.
 */
export abstract class Turns extends Loop {
  protected readonly queuePair: LoopQueuePair;
  protected readonly lane: LaneJob;
  readonly #completions: LoopCompletionQueue;

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
      if (number === warmUp) this.begin();
      if (!this.turn(number)) break;
      // Whoever answers goes on until the other side says that the time is over: it waits for the answer.
      const goesOn = this.sampler.goesOn(number + 1, this.clock) || !this.job.begins;
      if (!goesOn || !this.isWanted()) break;
    }
    tick(this.clock);
    return this.outcome(Math.max(0, number - warmUp), number);
  }

  /** Posts message `number`. */
  protected post(number: number): void {
    const { opcode, size, warmUp } = this.job;
    const { local, inline, lkey, remote, rkey } = this.lane;
    const { sends } = this.queuePair;
    tick(this.clock);
    if (this.posted !== null && number >= warmUp) this.posted[number - warmUp] = this.clock[0]!;
    if (inline === null) sends.write(0, opcode, SendFlag.SIGNALED, local, size, lkey, remote, rkey);
    else sends.writeInline(0, opcode, SendFlag.SIGNALED, inline, size, remote, rkey);
    this.queuePair.flush();
  }

  /** Waits until what was posted has completed; false where it has not. */
  protected finish(): boolean {
    return this.takeOne(this.#completions, false);
  }
}

/** Reads: each takes a round trip by itself. */
export class ReadTurns extends Turns {
  protected turn(number: number): boolean {
    this.post(number);
    return this.finish();
  }
}
