/** What the runners of copies have in common: their ranges, and how their data are verified. */
import { needsProvider, type CopyPath, type CopyPlan } from "../../copy/plan.js";
import { blotDestination, prepareSource, verifyDestination } from "../../copy/verify.js";
import type { Range } from "../../extents/ranges.js";
import type { Endpoint } from "../../io/endpoint.js";
import type { Session } from "../../session.js";
import type { BenchPoint } from "../point.js";
import { copyVerifier } from "./copy-verifier.js";
import { fromOffset, rangeOf } from "./ranges.js";
import type { Verifier } from "./sample.js";

/** A point that copies between namespaces that p2pmem drives. */
export type CopyPoint = Omit<BenchPoint, "sources"> & {
  sources: readonly [Endpoint];
  destination: Endpoint;
};

/** The point as a copy by this path. Errors: those of Session.provider(), and BAD_RANGE. */
export async function copyPlanOf(
  session: Session,
  point: CopyPoint,
  path: CopyPath,
  allowWrite: boolean,
): Promise<CopyPlan> {
  const [source] = point.sources;
  const ends = {
    source: fromOffset(source, point),
    destination: fromOffset(point.destination, point),
  };
  const size = await rangeOf(session, [ends.source, ends.destination], point);
  const provider =
    point.provider === null || !needsProvider(path) ? null : await session.provider(point.provider);
  return {
    ...{ ...ends, path, provider },
    bs: point.bs,
    iodepth: point.iodepth,
    jobs: point.numjobs,
    cpus: point.cpusAllowed,
    ...(size === undefined ? {} : { size }),
    ...(point.runtime === null ? {} : { runtime: point.runtime }),
    loops: point.loops,
    timeBased: point.timeBased,
    rampTime: point.rampTime,
    rateIops: point.rateIops,
    registration: point.registration,
    descriptors: point.descriptors,
    sqInCmb: point.sqInCmb,
    listsInCmb: point.listsInCmb,
    allowWrite,
  };
}

/** `covered`: what the last sample wrote of the destination's range. */
export function verifierOf(
  session: Session,
  plan: CopyPlan,
  { verify: mode }: Pick<BenchPoint, "verify">,
  covered: () => readonly Range[],
): Verifier | null {
  const planWith = (signal: AbortSignal): CopyPlan => ({ ...plan, signal });
  return copyVerifier(mode, {
    markSource: (signal, mode, seed) => prepareSource(session, planWith(signal), mode, seed),
    blotDestination: (signal, seed) => blotDestination(session, planWith(signal), seed),
    verify: (signal, mode, seed) =>
      verifyDestination(session, planWith(signal), mode, seed, covered()),
  });
}
