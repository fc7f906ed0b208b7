import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { P2pError } from "../errors.js";
import type { ReactorAnswer, ReactorRequest } from "./thread.js";

/** Runs a job to its end without a turn of the event loop, and gives its outcome; both cloneable. */
export type JobRunner<Job, Outcome> = (job: Job) => Outcome;

/** The URL of a module that exports such a `run`. */
export interface RunnerUrl<Job, Outcome> {
  readonly href: string;
  /** Never there: it is what ties the types to the URL. */
  readonly __run?: JobRunner<Job, Outcome>;
}

/**
 * A thread of its own that polls: it drives the queues of one job at a time and sees no event loop
 * in between. Kept for the next job, since its code is then already optimised.
 */
export class Reactor {
  readonly #worker: Worker;

  constructor() {
    this.#worker = new Worker(new URL("./thread.js", import.meta.url), {
      name: "p2pmem reactor",
      // Those of the program are not for this file: with --eval or --input-type it would not start.
      execArgv: [],
    });
    // Waiting for work is no reason for the process to stay.
    this.#worker.unref();
  }

  /** Errors: what the runner threw; INTERNAL if the thread died. */
  async run<Job, Outcome>(runner: RunnerUrl<Job, Outcome>, job: Job): Promise<Outcome> {
    const died = new AbortController();
    const onExit = (code: number): void => {
      died.abort(new P2pError("INTERNAL", `the reactor's thread ended with code ${code}`));
    };
    this.#worker.once("exit", onExit);
    this.#worker.ref();
    try {
      this.#worker.postMessage({ runner: runner.href, job } satisfies ReactorRequest);
      const [answer] = (await once(this.#worker, "message", { signal: died.signal }).catch(
        (error: unknown) => {
          throw died.signal.aborted ? died.signal.reason : error;
        },
      )) as [ReactorAnswer];
      if ("outcome" in answer) return answer.outcome as Outcome;
      const { code, message, hint, stack } = answer.error;
      throw Object.assign(
        new P2pError(code, message, hint === undefined ? {} : { hint }),
        stack === undefined ? {} : { stack },
      );
    } finally {
      this.#worker.off("exit", onExit);
      this.#worker.unref();
    }
  }

  /** Call it when no job runs. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
