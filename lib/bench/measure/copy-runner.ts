import { checkPlan } from "../../copy/check.js";
import { runCopy } from "../../copy/copy.js";
import type { CopyPath } from "../../copy/plan.js";
import type { Range } from "../../extents/ranges.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Session } from "../../session.js";
import { copyPlanOf, verifierOf, type CopyPoint } from "./copy-plan.js";
import type { SampleRunner } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/** A copy inside the machine. Errors: those of copyPlanOf() and checkPlan(). */
export async function openCopyRunner(
  session: Session,
  point: CopyPoint & { path: CopyPath },
  allowWrite: boolean,
): Promise<SampleRunner> {
  const plan = await copyPlanOf(session, point, point.path, allowWrite);
  const { slots, length: size } = await checkPlan(session, plan);
  let covered: readonly Range[] = [];
  return {
    endpoints: { src: formatEndpoint(plan.source), dst: formatEndpoint(plan.destination) },
    footprint:
      session.platform.kind === "loopback"
        ? { range: size, slots: slots.jobs * slots.count }
        : null,
    verifier: verifierOf(session, plan, point, () => covered),
    warmUp: async (signal) => {
      await runCopy(session, { ...warmUpOf(plan), signal });
    },
    run: async (signal, onProgress) => {
      const run = await runCopy(session, { ...plan, signal, onProgress });
      covered = run.covered;
      const { bytes, blocks, runtimeNs, latency, cpu, traffic, inCmb, notes } = run;
      const io = { bytes, ios: blocks, runtimeNs, size, latency, reads: null, writes: null };
      return { ...io, cpu, traffic, ends: null, inCmb, notes };
    },
  };
}
