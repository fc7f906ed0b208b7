import type { ControlBlock } from "../reactor/control-block.js";
import type { EngineFailure, EngineOutcome } from "../reactor/engine-job.js";

/** How often a run's owner hears of its progress, and the devices are asked whether they live. */
const WATCH_MS = 100;

/** How a controller has ended a command that took too long: see NvmeController.recover(). */
export type Recovery = "aborted" | "queue-deleted" | "reset";

/** What supervising needs of an NvmeController. */
export interface SupervisedController {
  assertAlive(qid: number): void;
  /** `commandId`: -1 for the queue as a whole. `isOver`: whether the command has ended after all. */
  recover(qid: number, commandId: number, isOver?: () => boolean): Promise<Recovery>;
}

/** One of a job's queues, by whose number its reactor knows it. */
export interface SupervisedQueue {
  controller: SupervisedController;
  qid: number;
}

/** What supervising needs to know of how a job went. */
export interface SupervisedOutcome {
  failure: EngineFailure | null;
}

/** A job, and how to have a reactor run it. */
export interface SupervisedJob<Outcome extends SupervisedOutcome = SupervisedOutcome> {
  control: ControlBlock;
  queues: readonly SupervisedQueue[];
  run: () => Promise<Outcome>;
  /** It has ended; where it failed all have been told to stop. Must not throw. */
  ended: () => void;
}

/** Why a job ended before its time. */
export interface JobFailure {
  failure: EngineFailure;
  /** Which of the jobs. */
  job: number;
  /** What the controller of the failure's queue said, where that is gone. */
  loss: Error | null;
  /** What was done about a command that took too long. */
  recovery: Recovery | null;
}

export interface SupervisedRun<Outcome extends SupervisedOutcome = EngineOutcome> {
  outcomes: Outcome[];
  /** The first failure, of those that tell most. */
  failure: JobFailure | null;
}

/**
 * Lets reactors run jobs and sees to them meanwhile: passes on the stop signal, has commands ended
 * that take too long, and tells reactors which of their queues are lost. The first failure of a job
 * stops them all. `tick` is called about ten times a second, and once at the end. Returns when no
 * reactor runs and no controller is being recovered any more. Errors: those of the jobs' run() and
 * of `tick`, which stop all as well.
 */
export async function supervise<Outcome extends SupervisedOutcome>(
  jobs: readonly SupervisedJob<Outcome>[],
  signal: AbortSignal,
  tick: () => void,
): Promise<SupervisedRun<Outcome>> {
  const watches = jobs.map((job) => new JobWatch(job));
  const stop = (): void => {
    for (const { control } of jobs) control.stop();
  };
  const errors: unknown[] = [];
  const attempt = (act: () => void): void => {
    try {
      act();
    } catch (error) {
      errors.push(error);
      stop();
    }
  };
  const watch = setInterval(() => {
    attempt(tick);
    for (const each of watches) each.look();
  }, WATCH_MS);
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  const failures: { failure: EngineFailure; job: number }[] = [];
  const outcomes: Outcome[] = [];
  try {
    await Promise.all(
      jobs.map(async (each, job) => {
        try {
          const outcome = await each.run();
          outcomes[job] = outcome;
          const { failure } = outcome;
          if (failure !== null) {
            failures.push({ failure, job });
            stop();
          }
        } catch (error) {
          errors.push(error);
          stop();
        }
        each.ended();
      }),
    );
  } finally {
    clearInterval(watch);
    signal.removeEventListener("abort", stop);
  }
  attempt(tick);
  await Promise.all(watches.map((each) => each.settled()));
  if (errors.length > 0) throw errors[0];
  const first = failures.find(({ failure }) => failure.kind !== "lost") ?? failures[0];
  return {
    outcomes,
    failure: first === undefined ? null : { ...first, ...watches[first.job]!.about(first.failure) },
  };
}

/** Sees to the queues of one job. */
class JobWatch {
  readonly #job: SupervisedJob;
  /** By queue: why it is lost; null while it is not, or where that was our own doing. */
  readonly #losses: (Error | null)[];
  readonly #isLost: boolean[];
  /** The report that was seen to last. */
  #report = 0;
  /** The queue whose command is seen to; -1: none. */
  #recovering = -1;
  readonly #pending: Promise<unknown>[] = [];
  #recovery: Recovery | null = null;

  constructor(job: SupervisedJob) {
    this.#job = job;
    this.#losses = job.queues.map(() => null);
    this.#isLost = job.queues.map(() => false);
  }

  look(): void {
    const { queues, control } = this.#job;
    for (const [queue, { controller, qid }] of queues.entries()) {
      // What is being recovered may look dead meanwhile.
      if (this.#isLost[queue]! || this.#recovering === queue) continue;
      try {
        controller.assertAlive(qid);
      } catch (error) {
        this.#lose(queue, error as Error);
        // Its memory must stay until the controller reaches it no more: while it is being reset, say.
        this.#pending.push(controller.recover(qid, -1).catch(() => undefined));
      }
    }
    const { overdue } = control;
    if (overdue === null || overdue.report === this.#report || this.#recovering >= 0) return;
    this.#report = overdue.report;
    if (this.#isLost[overdue.queue]!) return;
    this.#recovering = overdue.queue;
    this.#pending.push(this.#recover(overdue.queue, overdue.commandId));
  }

  /** What is known beyond a failure of the job itself. */
  about(failure: EngineFailure): { loss: Error | null; recovery: Recovery | null } {
    if (failure.kind === "error") return { loss: null, recovery: null };
    return { loss: this.#losses[failure.queue] ?? null, recovery: this.#recovery };
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  async #recover(queue: number, commandId: number): Promise<void> {
    const { control, queues } = this.#job;
    const { controller, qid } = queues[queue]!;
    // Where another one is overdue by now this one has ended.
    const isOver = (): boolean => {
      const { overdue } = control;
      return overdue === null || overdue.queue !== queue || overdue.commandId !== commandId;
    };
    try {
      const recovery = await controller.recover(qid, commandId, isOver);
      this.#recovery = recovery;
      // An aborted command completes by itself.
      if (recovery !== "aborted") this.#lose(queue, null);
    } catch (error) {
      this.#lose(queue, error as Error);
    } finally {
      this.#recovering = -1;
      // What was reported meanwhile may be over; if not, it will be reported again.
      this.#report = this.#job.control.overdue?.report ?? this.#report;
    }
  }

  #lose(queue: number, error: Error | null): void {
    this.#losses[queue] = error;
    this.#isLost[queue] = true;
    this.#job.control.lose(queue);
  }
}
