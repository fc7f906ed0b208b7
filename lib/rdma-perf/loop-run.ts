import { setTimeout as delay } from "node:timers/promises";
import { ControlBlock } from "../reactor/control-block.js";
import type { Reactor, RunnerUrl } from "../reactor/reactor.js";
import { StartGate } from "../reactor/start-gate.js";
import type { RdmaPerfJob, RdmaPerfOutcome } from "./job.js";

const RUNNER: RunnerUrl<RdmaPerfJob, RdmaPerfOutcome> = new URL("./run-job.js", import.meta.url);

/** How often to look whether the thread is prepared, milliseconds. */
const LOOK_MS = 1;

/** A loop in a thread of its own, which waits, prepared, until it is told to go. */
export class LoopRun {
  readonly #control = ControlBlock.create(1);
  /** The thread passes it, and then this side. */
  readonly #gate = StartGate.create(2);
  readonly outcome: Promise<RdmaPerfOutcome>;

  constructor(reactor: Reactor, job: Omit<RdmaPerfJob, "control" | "gate">) {
    this.outcome = reactor.run(RUNNER, {
      ...job,
      control: this.#control.buffer,
      gate: this.#gate.buffer,
    });
    // Whoever needs it awaits it.
    this.outcome.catch(() => undefined);
  }

  /** Resolves once its receives are posted. Errors: those of opening its queues. */
  async prepared(): Promise<void> {
    // Where it ends before, it has not come so far.
    let next: unknown = undefined;
    while (this.#gate.missing > 1 && next === undefined)
      next = await Promise.race([this.outcome, delay(LOOK_MS)]);
  }

  go(): void {
    this.#gate.open();
  }

  /** It ends soon, wherever it is. */
  stop(): void {
    this.#control.stop();
    this.#gate.open();
  }
}
