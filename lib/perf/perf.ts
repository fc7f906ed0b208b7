import { failureOf } from "../copy/failure.js";
import { supervise, type SupervisedRun } from "../copy/supervise.js";
import type { CpuTime, RunnerUrl } from "../reactor/reactor.js";
import type { Session } from "../session.js";
import { checkPerf } from "./check.js";
import { runByInterrupts } from "./interrupts.js";
import type { PerfJob, PerfOutcome } from "./job.js";
import type { PerfPlan } from "./plan.js";
import { measurementOf, type PerfMeasurement } from "./result.js";
import { PerfSetup, type ThreadSetup } from "./setup.js";

const RUNNER: RunnerUrl<PerfJob, PerfOutcome> = new URL("./run-job.js", import.meta.url);

/**
 * Reads or writes as the plan says, in threads of their own or by interrupts on this one, and measures.
 *
 * Errors: those of checkPerf(), before any command; MEMLOCK, NO_MEMORY, NO_QUEUE, NO_ROOM in a CMB,
 * UNSUPPORTED where a device has no MSI-X; NVME_STATUS with
 * device, command, LBA and status; BAD_COMPLETION; TIMEOUT, with what ended the command; DEVICE_GONE,
 * CONTROLLER_RESET or CONTROLLER_FATAL; REVOKED; INTERRUPTED by the plan's signal. The first error ends the
 * run: what is in flight is waited for.
 */
export function runPerf(session: Session, plan: PerfPlan): Promise<PerfMeasurement> {
  return session.operation(plan.signal, async (signal) => {
    const targets = await checkPerf(session, plan);
    signal.throwIfAborted();
    const setup = new PerfSetup(session, plan, targets);
    let measurement: PerfMeasurement;
    try {
      const threads = await setup.openThreads();
      signal.throwIfAborted();
      const { run, cpu } = await runThreads(session, plan, setup, threads, signal);
      throwFailure(threads, run);
      if (setup.revoked !== null) throw setup.revoked;
      signal.throwIfAborted();
      measurement = measurementOf(targets, threads, run.outcomes, cpu);
    } catch (error) {
      // What goes wrong now as well is of less interest.
      await setup.close().catch(() => undefined);
      throw error;
    }
    await setup.close();
    return measurement;
  });
}

/** Lets a reactor run each job, and reports progress. Errors: what the plan's onProgress threw. */
async function runThreads(
  session: Session,
  plan: PerfPlan,
  { gate }: PerfSetup,
  threads: readonly ThreadSetup[],
  signal: AbortSignal,
): Promise<{ run: SupervisedRun<PerfOutcome>; cpu: CpuTime[] }> {
  const cpu: CpuTime[] = [];
  const supervised = threads.map(({ job, control, queues }, index) => ({
    control,
    queues,
    run: async () => {
      try {
        const ran =
          plan.interrupts === true
            ? await runByInterrupts(job, queues)
            : await session.withReactor((reactor) => reactor.run(RUNNER, job));
        cpu[index] = ran.cpu;
        return ran;
      } finally {
        // If it did not even begin, the others must not wait for it.
        gate.open();
      }
    },
  }));
  const run = await supervise(supervised, signal, () => {
    plan.onProgress?.(threads.reduce((sum, { control }) => sum + control.bytes, 0));
  });
  return { run, cpu };
}

function throwFailure(
  threads: readonly ThreadSetup[],
  { failure: first, outcomes }: SupervisedRun<PerfOutcome>,
): void {
  if (first === null) return;
  const failure = outcomes[first.job]?.failure;
  // A queue's commands are of both kinds: this one's says which it was.
  const command = failure && "command" in failure ? failure.command : "Read";
  const queues = threads[first.job]!.queues.map((queue) => ({ ...queue, command }));
  throw failureOf(first, queues);
}
