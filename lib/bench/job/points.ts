/** From a job to its points, by who knows the machine. */
import type { P2pError } from "../../errors.js";
import { isKernelEndpoint } from "../../kernel/endpoint.js";
import { isMixed } from "../../perf/plan.js";
import { isKernelPath } from "../point.js";
import type { BenchEndpoint, BenchPath, BenchPoint, Workload } from "../point.js";
import { mapsOnce, takesProvider, writes } from "./check.js";
import type { BenchJob } from "./job.js";

/** Where data goes, as a job names it. */
export interface Question {
  job: BenchJob;
  path: BenchPath;
  /** Endpoints, or `auto` or `each` alone. Several run together. */
  src: readonly string[];
  /** Likewise; null: nothing is copied. */
  dst: string | null;
  /** A name, `closest` or `all`; null where the path has none. */
  provider: string | null;
  /** Bytes of a block, for which there must be room in a provider. */
  bs: number;
}

/** One way that the machine has for it. */
export interface Answer {
  sources: readonly BenchEndpoint[];
  destination: BenchEndpoint | null;
  provider: string | null;
  /** Of a path over RDMA, where its ends meet the wire. */
  rdma?: BenchPoint["rdma"];
  /** Why that way does not go; a pair that nobody named is no reason to run no other. */
  refusal?: P2pError;
}

/**
 * Says what a question's names are on the machine: `auto`: one answer, the same each time; `each`: one for
 * every device (for both sides: every pair of two), `all`: one for every provider that all reach. None
 * where the path does not apply to endpoints that nobody named, as nvme-copy between two controllers: it
 * is left out. Errors: what is wrong with those that were named; question.job.mistake() shows where.
 */
export type Resolve = (question: Question) => Promise<readonly Answer[]> | readonly Answer[];

/** One pair of endpoints (or targets of I/Os), with all ways to go. */
interface Place {
  sources: readonly BenchEndpoint[];
  destination: BenchEndpoint | null;
  /** By the size of blocks: not every provider has room for all. */
  ways: Map<number, Way[]>;
}

type Way = Pick<BenchPoint, "path" | "provider" | "rdma" | "isOneOfAll" | "refusal">;

/**
 * All combinations, those next to each other that one compares: paths innermost, then registration; and
 * pairs of endpoints outermost. Errors: those of `resolve`; job.mistake() where it leaves nothing.
 */
export async function pointsOf(job: BenchJob, resolve: Resolve): Promise<BenchPoint[]> {
  const shared = sharedOf(job);
  const points: BenchPoint[] = [];
  for (const workloads of [job.rw.filter((rw) => rw === "copy"), job.rw.filter(isIo)]) {
    if (workloads.length === 0) continue;
    for (const { sources, destination, ways } of await placesOf(job, workloads, resolve))
      for (const io of iosOf(job, workloads))
        for (const registration of job.registration)
          for (const way of ways.get(io.bs) ?? []) {
            if (mapsOnce(way.path) && registration !== job.registration[0]) continue;
            points.push({
              ...{ ...shared, ...io, ...way, sources, destination },
              registration: mapsOnce(way.path) ? "once" : registration,
              // Of the kernel's writes nothing is verified.
              verify: isKernelPath(way.path) && io.rw !== "copy" ? null : io.verify,
            });
          }
  }
  if (points.length === 0)
    throw job.mistake("path", `nothing to measure: ${job.path.join(", ")} does not apply here`, {
      hint: "name src and dst, or choose other paths",
    });
  // Sorting is stable: the workloads stay in the order that they were written in.
  return points.sort((one, other) => job.rw.indexOf(one.rw) - job.rw.indexOf(other.rw));
}

function isIo(rw: Workload): boolean {
  return rw !== "copy";
}

async function placesOf(
  job: BenchJob,
  workloads: readonly Workload[],
  resolve: Resolve,
): Promise<Iterable<Place>> {
  const places = new Map<string, Place>();
  for (const question of questionsOf(job, workloads.includes("copy"))) {
    const { path, bs } = question;
    const isOneOfAll = isOfAll(question);
    for (const answer of await resolve(question)) {
      const { sources, destination, provider, rdma = null, refusal = null } = answer;
      const key = JSON.stringify([sources, destination]);
      const place: Place = places.get(key) ?? { sources, destination, ways: new Map() };
      places.set(key, place);
      const ways = place.ways.get(bs) ?? [];
      place.ways.set(bs, ways);
      const isThere = ways.some((way) => way.path === path && way.provider === provider);
      if (!isThere) ways.push({ path, provider, rdma, isOneOfAll, refusal });
    }
  }
  return places.values();
}

/** Whether a question's answers are what there is, and nobody named the one or the other. */
export function isOfAll({ src, dst, provider }: Question): boolean {
  return src.includes("each") || dst === "each" || provider === "all";
}

/** The kernel's paths go with the kernel's endpoints, the others with the others. */
function* questionsOf(job: BenchJob, isCopy: boolean): Generator<Question> {
  for (const src of job.src)
    for (const dst of isCopy ? job.dst : [null])
      for (const path of job.path) {
        const ends = dst === null ? src : [...src, dst];
        if (ends.some((end) => isKernelEndpoint(end) !== isKernelPath(path))) continue;
        for (const provider of takesProvider(path) ? job.provider : [null])
          for (const bs of job.bs) yield { job, path, src, dst, provider, bs };
      }
}

type Io = Pick<BenchPoint, "rw" | "rwmixread" | "verify" | "bs" | "iodepth" | "numjobs">;

function* iosOf(job: BenchJob, workloads: readonly Workload[]): Generator<Io> {
  for (const rw of workloads) {
    const verify = isVerified(rw, job.verify) ? job.verify : null;
    for (const rwmixread of mixesOf(job, rw))
      for (const bs of job.bs)
        for (const iodepth of job.iodepth)
          for (const numjobs of job.numjobs) yield { rw, rwmixread, verify, bs, iodepth, numjobs };
  }
}

/** Only copies have a source to compare with: memcmp that is said of several jobs is theirs. */
function isVerified(rw: Workload, verify: Io["verify"]): boolean {
  return writes(rw) && (rw === "copy" || verify !== "memcmp");
}

/** A workload that mixes nothing has no mixes to sweep. A copy reads as much as it writes. */
function mixesOf(job: BenchJob, rw: Workload): readonly number[] {
  if (rw === "copy") return [50];
  if (isMixed(rw)) return job.rwmixread;
  return [rw.endsWith("read") ? 100 : 0];
}

type Swept = keyof Io | keyof Way | "registration" | "sources" | "destination";

function sharedOf(job: BenchJob): Omit<BenchPoint, Swept> {
  const { offset, size, runtime, timeBased, loops, rampTime, samples, rateIops } = job;
  const { cpusAllowed, percentiles, descriptors, sqInCmb, listsInCmb, randseed } = job;
  return {
    ...{ job: job.name, offset, size, runtime, timeBased, loops, rampTime, samples, rateIops },
    // One seed for all points of the job: what is compared goes to the same places.
    ...{ cpusAllowed, percentiles, descriptors, sqInCmb, listsInCmb, randseed },
  };
}
