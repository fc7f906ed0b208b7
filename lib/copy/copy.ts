import { P2pError } from "../errors.js";
import { merge } from "../extents/ranges.js";
import { Histogram } from "../reactor/histogram.js";
import type { Session } from "../session.js";
import { checkPlan } from "./check.js";
import type { CheckedPlan } from "./check.js";
import { namesInCmb } from "./cmb.js";
import { failureOf } from "../io/failure.js";
import { runJobs } from "../io/run-jobs.js";
import { covered } from "./parts.js";
import { openNvmeCopyJobs } from "./nvme-copy/setup.js";
import { needsProvider, type CopyPlan } from "./plan.js";
import { proveFirstUse } from "./first-use.js";
import type { CopyMeasurement } from "./result.js";
import { CopySetup, type OpenJob } from "./setup.js";
import type { RunMeter } from "../io/run-meter.js";
import type { SupervisedRun } from "../io/supervise.js";
import type { Traffic } from "../io/traffic.js";
import type { CopyOutcome } from "./job.js";
import { deriveTraffic, type Legs } from "./traffic.js";

const NO_LISTS_NEEDED = "no lists in a CMB: none of the commands needs one";

/**
 * Copies as the plan says, in threads of its own, and measures.
 *
 * On real devices a path is proved through the very peer memory that the run uses, the first time
 * that the session uses it, since success is no evidence of data there.
 *
 * Errors: those of checkPlan(), before any command; those of proveFirstUse(), before the first of
 * data; MEMLOCK, NO_MEMORY; NVME_STATUS with device, command, LBA and status; BAD_COMPLETION;
 * TIMEOUT, with what ended the command; DEVICE_GONE, CONTROLLER_RESET or CONTROLLER_FATAL; REVOKED,
 * where the provider or a CMB in use has gone meanwhile; PMR_FAILED, where it is a PMR that has lost writes;
 * INTERRUPTED by the plan's signal. After an error the destination holds a part of the data.
 */
export function runCopy(session: Session, plan: CopyPlan): Promise<CopyMeasurement> {
  return session.operation(plan.signal, async (signal) => {
    const ranges = await checkPlan(session, plan);
    signal.throwIfAborted();
    const setup = new CopySetup(session, plan, ranges);
    let measurement: CopyMeasurement;
    try {
      const jobs = await openJobs(session, plan, ranges, setup, signal);
      const total = plan.runtime === undefined ? ranges.length * (plan.loops ?? 1) : null;
      const runnable = jobs.map(({ runner, job, control, queues }) => ({
        control,
        queues,
        run: () => session.withReactor((reactor) => reactor.run(runner, job)),
      }));
      const { run, meter } = await runJobs(session, plan, setup.jobs, runnable, signal, () => {
        watch(plan, total, jobs);
      });
      throwFailure(plan, setup, jobs, run);
      // A PMR says only now whether it has lost some of what went through it.
      if (needsProvider(plan.path)) plan.provider?.barrier();
      signal.throwIfAborted();
      meter.end();
      assertComplete(plan, ranges, run);
      const { hasVolatileWriteCache } = ranges.destination.controller.identity;
      if (plan.runtime === undefined && hasVolatileWriteCache) await ranges.destination.flush();
      measurement = measure(plan, ranges, setup, jobs, run, meter, (bytes) =>
        deriveTraffic(session.pci, legsOf(plan), bytes),
      );
    } catch (error) {
      // What goes wrong now as well is of less interest.
      await setup.close().catch(() => undefined);
      throw error;
    }
    await setup.close();
    return measurement;
  });
}

async function openJobs(
  session: Session,
  plan: CopyPlan,
  ranges: CheckedPlan,
  setup: CopySetup,
  signal: AbortSignal,
): Promise<OpenJob[]> {
  if (plan.path === "nvme-copy") return openNvmeCopyJobs(setup, plan, ranges);
  const buffers = setup.openBuffers();
  // The loopback machine is what its description says; p2pmem probe works there all the same.
  if (session.platform.kind === "vfio")
    await proveFirstUse(session, plan, ranges, buffers.peer, signal);
  signal.throwIfAborted();
  return setup.openJobs(buffers);
}

type CopyRun = SupervisedRun<CopyOutcome>;

/** Called now and then while reactors run the jobs. Errors: what the plan's onProgress threw. */
function watch(plan: CopyPlan, total: number | null, jobs: readonly OpenJob[]): void {
  try {
    if (needsProvider(plan.path)) plan.provider?.assertAlive();
  } catch {
    // It is revoked, which stops the run; what is in flight completes, if to no effect.
  }
  const bytes = jobs.reduce((sum, { control }) => sum + control.bytes, 0);
  plan.onProgress?.(bytes, total);
}

/** A device that is gone may be the provider's, too: that it is gone says more than REVOKED. */
function throwFailure(
  { path, provider }: CopyPlan,
  setup: CopySetup,
  jobs: readonly OpenJob[],
  { failure }: CopyRun,
): void {
  const error = failure && failureOf(failure, jobs[failure.job]!.queues);
  const kind = failure?.failure.kind;
  if (error !== null && (kind === "lost" || kind === "timeout")) throw error;
  if (needsProvider(path)) provider?.assertUsable();
  setup.assertHeld();
  if (error !== null) throw error;
}

/** What ends a run early says why; that something has and did not must not pass for a copy. */
function assertComplete(
  { runtime, loops = 1 }: CopyPlan,
  { length }: CheckedPlan,
  { outcomes }: CopyRun,
): void {
  const bytes = outcomes.reduce((sum, outcome) => sum + outcome.bytes, 0);
  if (runtime === undefined && bytes !== loops * length)
    throw new P2pError("INTERNAL", `the copy ended after ${bytes} of ${loops * length} bytes`);
}

function measure(
  { bs, listsInCmb }: CopyPlan,
  { slots, inCmb }: CheckedPlan,
  setup: CopySetup,
  jobs: readonly OpenJob[],
  { outcomes }: CopyRun,
  meter: RunMeter,
  derive: (bytes: number) => Traffic,
): CopyMeasurement {
  const sum = (of: (outcome: CopyOutcome) => number): number =>
    outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const latency = new Histogram();
  for (const job of jobs) latency.merge(job.latency);
  const bytes = sum((outcome) => outcome.bytes);
  const hasNone =
    listsInCmb === true && ![inCmb.source, inCmb.destination].some((side) => setup.hasLists(side));
  return {
    bytes,
    blocks: sum(({ blocks }) => blocks),
    covered: merge(
      jobs.map(({ part }, index) => {
        const { bytes, rampBytes } = outcomes[index]!;
        return covered(part, bs, Math.max(bytes, rampBytes));
      }),
    ),
    runtimeNs:
      Math.max(...outcomes.map(({ endedNs }) => endedNs)) -
      Math.min(...outcomes.map(({ beganNs }) => beganNs)),
    latency,
    cpu: {
      userNs: sum(({ cpu }) => cpu.userNs),
      systemNs: sum(({ cpu }) => cpu.systemNs),
      busyNs: sum(({ busyNs }) => busyNs),
      deviceNs: meter.deviceCpuNs,
    },
    traffic: meter.counted ?? derive(bytes),
    jobs: slots.jobs,
    iodepth: slots.count,
    inCmb: namesInCmb(inCmb, (side) => setup.hasLists(side)),
    notes: [...slots.notes, ...inCmb.notes, ...(hasNone ? [NO_LISTS_NEEDED] : [])],
  };
}

function legsOf(plan: CopyPlan): Legs {
  const { path, source, destination, provider } = plan;
  return {
    path,
    source: source.device,
    destination: destination.device,
    provider:
      provider !== null && needsProvider(path)
        ? { device: provider.fn.address, isIdentityMapped: provider.isIdentityMapped }
        : null,
  };
}
