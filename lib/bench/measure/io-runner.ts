import { randomInt } from "node:crypto";
import { P2pError } from "../../errors.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Endpoint } from "../../io/endpoint.js";
import { checkPerf } from "../../perf/check.js";
import { runPerf } from "../../perf/perf.js";
import { isMixed, readPercentOf, type Pattern, type PerfPlan } from "../../perf/plan.js";
import type { PerfMeasurement } from "../../perf/result.js";
import type { Session } from "../../session.js";
import { Marks } from "../../verify/marks.js";
import type { MarkMode } from "../../verify/mode.js";
import { verifyWritten, type Written } from "../../verify/written.js";
import type { BenchPoint } from "../point.js";
import { fromOffset, rangeOf } from "./ranges.js";
import { sampleVerification, type Sample, type SampleRunner, type Verifier } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/** A point whose I/Os read or write namespaces that p2pmem drives. */
export type IoPoint = Omit<BenchPoint, "sources"> & { rw: Pattern; sources: readonly Endpoint[] };

/** Errors: those of Session.provider() and checkPerf(), BAD_RANGE, and UNSUPPORTED. */
export async function openIoRunner(
  session: Session,
  point: IoPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  const plan = await planOf(session, point, allowWrite);
  await checkPerf(session, plan);
  const names = plan.targets.map(formatEndpoint).join(",");
  const reads = readPercentOf(plan);
  return {
    endpoints: { src: reads > 0 ? names : null, dst: reads < 100 ? names : null },
    footprint: null,
    ...new IoSamples(session, plan).parts,
  };
}

class IoSamples {
  readonly #session: Session;
  #plan: PerfPlan;
  /** By the last sample; null where nobody will look at it. */
  #written: Written | null = null;

  constructor(session: Session, plan: PerfPlan) {
    this.#session = session;
    this.#plan = plan;
  }

  get parts(): Pick<SampleRunner, "warmUp" | "run" | "verifier"> {
    return {
      warmUp: async (signal) => {
        await runPerf(this.#session, { ...warmUpOf(this.#plan), signal });
      },
      run: (signal, onProgress) => this.#run(signal, onProgress),
      verifier: this.#verifier(),
    };
  }

  async #run(signal: AbortSignal, onProgress: (bytes: number) => void): Promise<Sample> {
    const run = await runPerf(this.#session, { ...this.#plan, signal, onProgress });
    this.#written = run.written;
    return sampleOf(this.#plan, run);
  }

  #verifier(): Verifier | null {
    const { marks } = this.#plan;
    if (marks === undefined) return null;
    return {
      prepare: () => {
        this.#plan = { ...this.#plan, marks: marksOf(marks.mode) };
        return Promise.resolve();
      },
      check: async (signal) => {
        if (this.#written === null) throw new P2pError("INTERNAL", "nothing was marked");
        const found = await verifyWritten(this.#session, this.#written, signal);
        return sampleVerification(marks.mode, found);
      },
    };
  }
}

/** Of another seed each time: what an earlier sample left must not pass. */
function marksOf(mode: MarkMode): Marks {
  return new Marks(mode, randomInt(2 ** 32));
}

/** Errors: UNSUPPORTED. */
function marksFor({ verify, rw }: IoPoint): Marks | undefined {
  if (verify === null) return undefined;
  if (verify !== "memcmp") return marksOf(verify);
  throw new P2pError("UNSUPPORTED", `memcmp compares with a source, and ${rw} has none`, {
    hint: "crc32c and pattern verify writes",
    parameter: "verify",
  });
}

async function planOf(session: Session, point: IoPoint, allowWrite: boolean): Promise<PerfPlan> {
  const targets = point.sources.map((source) => fromOffset(source, point));
  const size = await rangeOf(session, targets, point);
  const marks = marksFor(point);
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
    ...(marks === undefined ? {} : { marks }),
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

function sampleOf(plan: PerfPlan, { total, cpu, traffic, notes }: PerfMeasurement): Sample {
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
    ends: null,
    // Where they lay elsewhere the plan was refused.
    inCmb: plan.sqInCmb === true ? [`${readPercentOf(plan) > 0 ? "src" : "dst"} sq`] : [],
    notes,
  };
}
