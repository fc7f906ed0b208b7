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

  /** The receive for a later one is posted with the next send. */
  protected take(number: number): boolean {
    while (this.#received.poll(1, LOOKS) === 0) if (!this.wait()) return false;
    this.came();
    if (!this.isWell(this.#received, 0, true)) return false;
    const { warmUp, iterations, receives } = this.job;
    if (number + receives < warmUp + (iterations ?? Infinity)) this.#receive();
    return true;
  }

  protected override flush(): void {
    this.queuePair.flush();
  }

  #receive(): void {
    this.queuePair.receives.write(0, this.lane.receive, this.job.size, this.lane.lkey);
  }
}
