import type { EngineThread } from "../../reactor/engine-job.js";
import type { RdmaPerfJob } from "../job.js";
import { LOOKS } from "./loop.js";
import type { LoopCompletionQueue, LoopQueuePair } from "./queues.js";
import { Turns } from "./turns.js";

/** Messages that are sent and answered: a completion tells of each. */
export class SendTurns extends Turns {
  readonly #received: LoopCompletionQueue;

  /** Posts receives: the other side may send as soon as this returns. */
  constructor(
    job: RdmaPerfJob,
    queuePair: LoopQueuePair,
    completions: LoopCompletionQueue,
    received: LoopCompletionQueue,
    thread: EngineThread,
  ) {
    super(job, queuePair, completions, thread);
    this.#received = received;
    for (let i = 0; i < job.receives; i++) this.#receive();
    queuePair.flush();
  }

  protected turn(number: number): boolean {
    if (this.job.begins) {
      this.post(number);
      return this.settleSome() && this.#take(number);
    }
    if (!this.#take(number)) return false;
    this.post(number);
    return this.settleSome();
  }

  /** Takes the other side's message; the receive for a later one is posted with the next send. */
  #take(number: number): boolean {
    while (this.#received.poll(1, LOOKS) === 0) if (!this.wait()) return false;
    this.came();
    if (!this.isWell(this.#received, 0, true)) return false;
    const { warmUp, iterations, receives } = this.job;
    if (number + receives < warmUp + (iterations ?? Infinity)) this.#receive();
    return true;
  }

  #receive(): void {
    this.queuePair.receives.write(0, this.lane.receive, this.job.size, this.lane.lkey);
  }
}
