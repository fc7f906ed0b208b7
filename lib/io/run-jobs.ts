import type { ControlBlock } from "../reactor/control-block.js";
import type { EngineOutcome } from "../reactor/engine-job.js";
import type { Session } from "../session.js";
import type { EngineJobs } from "./engine-jobs.js";
import { RunMeter } from "./run-meter.js";
import type { RunPlan } from "./run-plan.js";
import { supervise, type SupervisedQueue, type SupervisedRun } from "./supervise.js";

/** A job of a run. */
export interface RunnableJob<Outcome> {
  control: ControlBlock;
  /** In the order of the job's queues. */
  queues: readonly SupervisedQueue[];
  /** `rampEnded`: to be called at the end of the ramp where that is on the calling thread. */
  run: (rampEnded: () => void) => Promise<Outcome>;
}

/**
 * Runs the jobs to their end, and measures from when what counts begins. `tick`: see supervise().
 * Errors: those of the jobs and of `tick`.
 */
export async function runJobs<Outcome extends EngineOutcome>(
  session: Session,
  plan: RunPlan,
  jobs: EngineJobs,
  runnable: readonly RunnableJob<Outcome>[],
  signal: AbortSignal,
  tick: () => void,
): Promise<{ run: SupervisedRun<Outcome>; meter: RunMeter }> {
  const meter = new RunMeter(session.platform, plan, () => {
    for (const { control } of runnable) control.stop();
  });
  const begin = (): void => {
    meter.begin();
  };
  let stopWaiting = (): void => undefined;
  const rampEnded = (): void => {
    stopWaiting();
    begin();
  };
  const supervised = runnable.map(({ control, queues, run }) => ({
    control,
    queues,
    run: () => run(rampEnded),
    // If it did not even begin, the others must not wait for it.
    ended: () => {
      jobs.release();
    },
  }));
  stopWaiting = jobs.whenCounting(begin);
  try {
    return { run: await supervise(supervised, signal, tick), meter };
  } finally {
    stopWaiting();
    meter.stop();
  }
}
