import { checkPlan } from "../../copy/check.js";
import { runCopy } from "../../copy/copy.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Endpoint } from "../../io/endpoint.js";
import { needsProvider, type CopyPath, type CopyPlan } from "../../copy/plan.js";
import { blotDestination, prepareSource, verifyDestination } from "../../copy/verify.js";
import type { Range } from "../../extents/ranges.js";
import type { Session } from "../../session.js";
import type { BenchPoint } from "../point.js";
import { copyVerifier } from "./copy-verifier.js";
import { fromOffset, rangeOf } from "./ranges.js";
import type { Sample, SampleRunner, Verifier } from "./sample.js";
import { warmUpOf } from "./warm-up.js";

/** A point that copies between namespaces that p2pmem drives. */
export type CopyPoint = Omit<BenchPoint, "sources"> & {
  path: CopyPath;
  sources: readonly [Endpoint];
  destination: Endpoint;
};

/** Errors: those of Session.provider() and checkPlan(), and BAD_RANGE. */
export async function openCopyRunner(
  session: Session,
  point: CopyPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  const plan = await planOf(session, point, allowWrite);
  const { slots, length } = await checkPlan(session, plan);
  return {
    endpoints: { src: formatEndpoint(plan.source), dst: formatEndpoint(plan.destination) },
    footprint:
      session.platform.kind === "loopback"
        ? { range: length, slots: slots.jobs * slots.count }
        : null,
    ...new CopySamples(session, plan, point, length).parts,
  };
}

async function planOf(session: Session, point: CopyPoint, allowWrite: boolean): Promise<CopyPlan> {
  const [source] = point.sources;
  const ends = {
    source: fromOffset(source, point),
    destination: fromOffset(point.destination, point),
  };
  const size = await rangeOf(session, [ends.source, ends.destination], point);
  const provider =
    point.provider === null || !needsProvider(point.path)
      ? null
      : await session.provider(point.provider);
  return {
    ...ends,
    path: point.path,
    provider,
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

class CopySamples {
  readonly #session: Session;
  readonly #plan: CopyPlan;
  readonly #point: CopyPoint;
  /** Bytes of either range. */
  readonly #length: number;
  /** What the last sample wrote of the destination. */
  #covered: readonly Range[] = [];

  constructor(session: Session, plan: CopyPlan, point: CopyPoint, length: number) {
    this.#session = session;
    this.#plan = plan;
    this.#point = point;
    this.#length = length;
  }

  get parts(): Pick<SampleRunner, "warmUp" | "run" | "verifier"> {
    return {
      warmUp: async (signal) => {
        await runCopy(this.#session, { ...warmUpOf(this.#plan), signal });
      },
      run: (signal, onProgress) => this.#run(signal, onProgress),
      verifier: this.#verifier(),
    };
  }

  async #run(signal: AbortSignal, onProgress: (bytes: number) => void): Promise<Sample> {
    const run = await runCopy(this.#session, { ...this.#plan, signal, onProgress });
    this.#covered = run.covered;
    const { bytes, blocks, runtimeNs, latency, cpu, traffic, inCmb, notes } = run;
    const size = this.#length;
    const io = { bytes, ios: blocks, runtimeNs, size, latency, reads: null, writes: null };
    return { ...io, cpu, traffic, inCmb, notes };
  }

  #verifier(): Verifier | null {
    const session = this.#session;
    const planWith = (signal: AbortSignal): CopyPlan => ({ ...this.#plan, signal });
    return copyVerifier(this.#point.verify, {
      markSource: (signal, mode, seed) => prepareSource(session, planWith(signal), mode, seed),
      blotDestination: (signal, seed) => blotDestination(session, planWith(signal), seed),
      verify: (signal, mode, seed) =>
        verifyDestination(session, planWith(signal), mode, seed, this.#covered),
    });
  }
}
