import { P2pError } from "../../errors.js";
import { isKernelEndpoint } from "../../kernel/endpoint.js";
import { isMixed } from "../../perf/plan.js";
import { isKernelPath } from "../point.js";
import { mapsOnce, takesProvider } from "./check.js";
import type { BenchJob } from "./job.js";

/** Combinations that nobody runs by accident. */
export const MOST_POINTS = 10_000;
/** What fits in memory even where they are wanted. */
export const MOST_JOBS = 1_000_000;

/** Combinations of a job's lists, `each` and `all` counted once: what they are only the machine knows. */
export function combinations(job: BenchJob): number {
  const { rw, path, src, dst, provider, bs, iodepth, numjobs, rwmixread, registration } = job;
  const shared = bs.length * iodepth.length * numjobs.length;
  let sum = 0;
  for (const isKernel of [false, true]) {
    const ways = path
      .filter((name) => isKernelPath(name) === isKernel)
      .reduce(
        (count, name) =>
          count +
          (takesProvider(name) ? provider.length : 1) * (mapsOnce(name) ? 1 : registration.length),
        0,
      );
    const sources = src.filter(([first = ""]) => isKernelEndpoint(first) === isKernel).length;
    const targets = dst.filter((name) => isKernelEndpoint(name) === isKernel).length;
    for (const workload of rw) {
      const mixes = workload !== "copy" && isMixed(workload) ? rwmixread.length : 1;
      sum += ways * sources * mixes * (workload === "copy" ? targets : 1);
    }
  }
  return sum * shared;
}

/** Errors: TOO_MANY_POINTS. */
export function checkCount(count: number, most: number, yes: boolean): void {
  if (count <= most) return;
  throw new P2pError(
    "TOO_MANY_POINTS",
    `there are ${count.toLocaleString("en")} combinations to measure`,
    {
      hint: yes
        ? `no more than ${most.toLocaleString("en")} fit in memory`
        : `shorten the lists, or say --yes to more than ${most.toLocaleString("en")}`,
    },
  );
}
