import { failureOf } from "../io/failure.js";
import { formatEndpoint } from "../io/endpoint.js";
import { runJobs, type RunnableJob } from "../io/run-jobs.js";
import type { SupervisedRun } from "../io/supervise.js";
import { proveUse } from "../proof/first-use.js";
import type { Leg } from "../proof/leg.js";
import type { RunnerUrl } from "../reactor/reactor.js";
import type { Session } from "../session.js";
import { checkPerf, type CheckedPerf } from "./check.js";
import { runByInterrupts } from "./interrupts.js";
import type { PerfJob, PerfOutcome } from "./job.js";
import type { PerfMemory } from "./memory.js";
import { readPercentOf, type PerfPlan } from "./plan.js";
import { measurementOf, type PerfMeasurement } from "./result.js";
import { PerfSetup, type ThreadSetup } from "./setup.js";
import { derivePerfTraffic } from "./traffic.js";

const RUNNER: RunnerUrl<PerfJob, PerfOutcome> = new URL("./run-job.js", import.meta.url);

/**
 * Reads or writes as the plan says, in threads of their own or by interrupts on this one, and measures.
 *
 * On real devices the path to a provider is proved through the very peer memory that the run uses, the
 * first time that the session uses it, since success is no evidence of data there.
 *
 * Errors: those of checkPerf(), before any command; those of proveUse(), before the first of data;
 * MEMLOCK, NO_MEMORY, NO_QUEUE, NO_ROOM in a CMB, UNSUPPORTED where a device has no MSI-X; NVME_STATUS
 * with device, command, LBA and status; BAD_COMPLETION; TIMEOUT, with what ended the command;
 * DEVICE_GONE, CONTROLLER_RESET or CONTROLLER_FATAL; REVOKED; PMR_FAILED, where the provider is a PMR
 * that has lost writes; INTERRUPTED by the plan's signal. The first error ends the run: what is in
 * flight is waited for.
 */
export function runPerf(session: Session, plan: PerfPlan): Promise<PerfMeasurement> {
  return session.operation(plan.signal, async (signal) => {
    const checked = await checkPerf(session, plan);
    signal.throwIfAborted();
    const setup = new PerfSetup(session, plan, checked);
    let measurement: PerfMeasurement;
    try {
      const memory = setup.openMemory();
      // The loopback machine is what its description says; p2pmem probe works there all the same.
      if (session.platform.kind === "vfio") await prove(session, plan, checked, memory, signal);
      const threads = await setup.openThreads(memory);
      signal.throwIfAborted();
      const runnable = threads.map((thread) => runnableOf(session, plan, thread));
      const { run, meter } = await runJobs(session, plan, setup.jobs, runnable, signal, () => {
        watch(plan, threads);
      });
      throwFailure(plan, setup, threads, run);
      // A PMR says only now whether it has lost some of what went through it.
      plan.provider?.barrier();
      signal.throwIfAborted();
      meter.end();
      measurement = {
        ...measurementOf(checked, threads, run.outcomes, meter, (ios) =>
          derivePerfTraffic(session.pci, plan, ios),
        ),
        written: setup.written(threads),
      };
    } catch (error) {
      // What goes wrong now as well is of less interest.
      await setup.close().catch(() => undefined);
      throw error;
    }
    await setup.close();
    return measurement;
  });
}

function runnableOf(
  session: Session,
  plan: PerfPlan,
  { job, control, queues }: ThreadSetup,
): RunnableJob<PerfOutcome> {
  return {
    control,
    queues,
    run: (rampEnded) =>
      plan.interrupts === true
        ? runByInterrupts(job, queues, rampEnded)
        : session.withReactor((reactor) => reactor.run(RUNNER, job)),
  };
}

/** A device that is gone may be the provider's, too: that it is gone says more than REVOKED. */
function throwFailure(
  { provider }: PerfPlan,
  { revoked }: PerfSetup,
  threads: readonly ThreadSetup[],
  { failure }: SupervisedRun<PerfOutcome>,
): void {
  const error = failure && failureOf(failure, threads[failure.job]!.queues);
  const kind = failure?.failure.kind;
  if (error !== null && (kind === "lost" || kind === "timeout")) throw error;
  provider?.assertUsable();
  if (revoked !== null) throw revoked;
  if (error !== null) throw error;
}

/** Called now and then while the threads run. Errors: what the plan's onProgress threw. */
function watch(plan: PerfPlan, threads: readonly ThreadSetup[]): void {
  try {
    plan.provider?.assertAlive();
  } catch {
    // It is revoked, which stops the run; what is in flight completes, if to no effect.
  }
  plan.onProgress?.(threads.reduce((sum, { control }) => sum + control.bytes, 0));
}

/** Each target both ways, if it goes both ways. Errors: those of proveUse(). */
async function prove(
  session: Session,
  plan: PerfPlan,
  { targets }: CheckedPerf,
  { held }: PerfMemory,
  signal: AbortSignal,
): Promise<void> {
  const { provider = null, ioSize } = plan;
  if (provider === null || held === null) return;
  const reads = readPercentOf(plan);
  const legs = targets.flatMap(({ endpoint, namespace, ios }): Leg[] => {
    const range = { namespace, offset: endpoint.offset, length: ios * ioSize };
    return [
      ...(reads > 0
        ? [{ client: "source", direction: "write", ...range, scratch: null } as const]
        : []),
      // What may be written is restored all the same.
      ...(reads < 100
        ? [{ client: "destination", direction: "read", ...range, scratch: range } as const]
        : []),
    ];
  });
  const [target] = targets.map(({ endpoint }) => formatEndpoint(endpoint));
  const hint = `p2pmem probe ${target!} ${provider.name} ${target!} looks closer; without a provider perf does without this path`;
  await proveUse(session, { provider, held, legs, hint }, signal);
}
