import { P2pError } from "../../errors.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Endpoint } from "../../io/endpoint.js";
import { checkPerf } from "../../perf/check.js";
import { runPerf } from "../../perf/perf.js";
import { isMixed, readPercentOf, type Pattern, type PerfPlan } from "../../perf/plan.js";
import type { Session } from "../../session.js";
import type { BenchPoint } from "../point.js";
import { fromOffset, rangeOf } from "./ranges.js";
import type { Sample, SampleRunner } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/** A point whose I/Os read or write namespaces that p2pmem drives. */
export type IoPoint = Omit<BenchPoint, "sources"> & { rw: Pattern; sources: readonly Endpoint[] };

/** Errors: those of Session.provider() and checkPerf(), and BAD_RANGE. */
export async function openIoRunner(
  session: Session,
  point: IoPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  if (point.verify !== null)
    throw new P2pError("UNSUPPORTED", `${point.rw} is not verified by a benchmark`, {
      hint: "verify copies (rw: copy), or leave out verify",
      parameter: "verify",
    });
  const plan = await planOf(session, point, allowWrite);
  await checkPerf(session, plan);
  const names = plan.targets.map(formatEndpoint).join(",");
  const reads = readPercentOf(plan);
  return {
    endpoints: { src: reads > 0 ? names : null, dst: reads < 100 ? names : null },
    footprint: null,
    verifier: null,
    warmUp: async (signal) => {
      await runPerf(session, { ...warmUpOf(plan), signal });
    },
    run: (signal, onProgress) => sampleOf(session, { ...plan, signal, onProgress }),
  };
}

async function planOf(session: Session, point: IoPoint, allowWrite: boolean): Promise<PerfPlan> {
  const targets = point.sources.map((source) => fromOffset(source, point));
  const size = await rangeOf(session, targets, point);
  return {
    targets,
    provider: point.provider === null ? null : await session.provider(point.provider),
    pattern: point.rw,
    ...(isMixed(point.rw) ? { readPercent: point.rwmixread } : {}),
    ioSize: point.bs,
    depth: point.iodepth,
    queuePairs: 1,
    jobs: point.numjobs,
    cpus: point.cpusAllowed,
    ...(size === undefined ? {} : { size }),
    runtime: point.runtime,
    loops: point.loops,
    timeBased: point.timeBased,
    rampTime: point.rampTime,
    rateIops: point.rateIops,
    registration: point.registration,
    descriptors: point.descriptors,
    sqInCmb: point.sqInCmb,
    seed: point.randseed,
    allowWrite,
  };
}

async function sampleOf(session: Session, plan: PerfPlan): Promise<Sample> {
  const { total, cpu, traffic, notes } = await runPerf(session, plan);
  const ios = total.readIos + total.writeIos;
  const { runtimeNs, latency } = total;
  const isMix = isMixed(plan.pattern);
  return {
    bytes: ios * plan.ioSize,
    ios,
    runtimeNs,
    size: plan.size ?? null,
    latency,
    reads: isMix ? total.reads : null,
    writes: isMix ? total.writes : null,
    cpu,
    traffic,
    // Where they lay elsewhere the plan was refused.
    inCmb: plan.sqInCmb === true ? [`${readPercentOf(plan) > 0 ? "src" : "dst"} sq`] : [],
    notes,
  };
}
