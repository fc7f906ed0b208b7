import { P2pError } from "../errors.js";
import { statusError } from "../nvme/status.js";
import type { CpuTime, RunnerUrl } from "../reactor/reactor.js";
import type { Session } from "../session.js";
import { checkPlan } from "./check.js";
import type { CheckedPlan } from "./check.js";
import { namesInCmb } from "./cmb.js";
import type { CopyFailure, CopyJob, CopyOutcome } from "./job.js";
import type { CopyPlan } from "./plan.js";
import { proveFirstUse } from "./proof/first-use.js";
import type { CopyMeasurement } from "./result.js";
import { CopySetup } from "./setup.js";
import { deriveTraffic, TrafficMeter, type Legs } from "./traffic.js";

/** How often a run's owner hears of its progress, and the devices are asked whether they live. */
const WATCH_MS = 100;

const RUNNER: RunnerUrl<CopyJob, CopyOutcome> = new URL("./run-job.js", import.meta.url);

/**
 * Copies as the plan says, in a thread of its own, and measures.
 *
 * On real devices a path is proved through the very peer memory that the run uses, the first time
 * that the session uses it, since success is no evidence of data there.
 *
 * Errors: those of checkPlan(), before any command; those of proveFirstUse(), before the first of
 * data; MEMLOCK, NO_MEMORY; NVME_STATUS with device, command, LBA and status; BAD_COMPLETION; TIMEOUT;
 * DEVICE_GONE, CONTROLLER_RESET or CONTROLLER_FATAL; REVOKED, where the provider has gone meanwhile;
 * PMR_FAILED, where it is a PMR that has lost writes;
 * INTERRUPTED by the plan's signal. After an error the destination holds a part of the data.
 */
export function runCopy(session: Session, plan: CopyPlan): Promise<CopyMeasurement> {
  return session.operation(plan.signal, async (signal) => {
    const ranges = await checkPlan(session, plan);
    signal.throwIfAborted();
    const setup = new CopySetup(session);
    let drained = true;
    const cleanUp = async (): Promise<void> => {
      if (drained) await setup.close();
      else setup.abandon();
    };
    let measurement: CopyMeasurement;
    try {
      const buffers = setup.openBuffers(plan, ranges);
      // The loopback machine is what its description says; p2pmem probe works there all the same.
      if (session.platform.kind === "vfio")
        await proveFirstUse(session, plan, ranges, buffers.peer, signal);
      signal.throwIfAborted();
      const job = await setup.openJob(plan, ranges, buffers);
      const traffic = new TrafficMeter(session.platform);
      const { outcome, cpu, lost, thrown } = await supervise(
        session,
        plan,
        ranges,
        setup,
        job,
        signal,
      ).finally(() => {
        traffic.stop();
      });
      drained = outcome.drained;
      if (thrown !== null) throw thrown.error;
      if (lost !== null && !drained) throw lost;
      if (plan.path !== "host") plan.provider?.assertUsable();
      if (outcome.failure !== null) throw failureOf(plan, outcome.failure);
      // A PMR says only now whether it has lost some of what went through it.
      if (plan.path !== "host") plan.provider?.barrier();
      signal.throwIfAborted();
      const { hasVolatileWriteCache } = ranges.destination.controller.identity;
      if (plan.runtime === undefined && hasVolatileWriteCache) await ranges.destination.flush();
      measurement = {
        bytes: outcome.bytes,
        blocks: outcome.blocks,
        coveredBytes: Math.min(outcome.bytes, ranges.length),
        runtimeNs: outcome.runtimeNs,
        latency: setup.latency,
        cpu: { ...cpu, busyNs: outcome.busyNs },
        traffic: traffic.counted ?? deriveTraffic(session.pci, legsOf(plan), outcome.bytes),
        iodepth: job.slots,
        inCmb: namesInCmb(ranges.inCmb),
        notes: [...ranges.slots.notes, ...ranges.inCmb.notes],
      };
    } catch (error) {
      // What goes wrong now as well is of less interest.
      await cleanUp().catch(() => undefined);
      throw error;
    }
    await cleanUp();
    return measurement;
  });
}

/**
 * Lets a reactor run the job, passes on the stop signal and reports progress. `lost`: the error of a
 * device that has gone meanwhile, for which the reactor was told not to wait. `thrown`: what the
 * plan's onProgress threw, which stops the run.
 */
async function supervise(
  session: Session,
  plan: CopyPlan,
  ranges: CheckedPlan,
  { control }: CopySetup,
  job: CopyJob,
  signal: AbortSignal,
): Promise<{
  outcome: CopyOutcome;
  cpu: CpuTime;
  lost: Error | null;
  thrown: { error: unknown } | null;
}> {
  const total = plan.runtime === undefined ? ranges.length : null;
  let lost: Error | null = null;
  let thrown: { error: unknown } | null = null;
  const watch = setInterval(() => {
    try {
      plan.onProgress?.(control.bytes, total);
    } catch (error) {
      thrown ??= { error };
      control.stop();
    }
    try {
      ranges.source.controller.assertAlive(job.read.queue.qid);
      ranges.destination.controller.assertAlive(job.write.queue.qid);
    } catch (error) {
      lost ??= error as Error;
      control.giveUp();
    }
    try {
      if (plan.path !== "host") plan.provider?.assertAlive();
    } catch {
      // It is revoked, which stops the run; what is in flight completes, if to no effect.
    }
  }, WATCH_MS);
  const stop = (): void => {
    control.stop();
  };
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  try {
    const ran = await session.withReactor((reactor) => reactor.run(RUNNER, job));
    return { ...ran, lost, thrown };
  } finally {
    clearInterval(watch);
    signal.removeEventListener("abort", stop);
  }
}

function legsOf({ path, source, destination, provider }: CopyPlan): Legs {
  return {
    path,
    source: source.device,
    destination: destination.device,
    provider: provider && {
      device: provider.fn.address,
      isIdentityMapped: provider.isIdentityMapped,
    },
  };
}

function failureOf(plan: CopyPlan, failure: CopyFailure): P2pError {
  if (failure.kind === "given-up") return new P2pError("INTERNAL", "the run was given up");
  const { device, nsid } = failure.side === "read" ? plan.source : plan.destination;
  const command = failure.side === "read" ? "Read" : "Write";
  switch (failure.kind) {
    case "status": {
      const { status, lba, blocks } = failure;
      const what = `${command} of blocks ${lba} to ${lba + blocks - 1} of namespace ${nsid}`;
      return statusError(status, what, device);
    }
    case "fault":
      return new P2pError("BAD_COMPLETION", failure.message, { device, hint: failure.hint });
    case "timeout":
      return new P2pError(
        "TIMEOUT",
        `${device} completed nothing for 30 s, with ${failure.outstanding} commands in flight`,
        { device, hint: "close the session: that resets its controllers" },
      );
  }
}
