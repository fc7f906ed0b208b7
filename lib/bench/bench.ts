import { P2pError } from "../errors.js";
import { Host } from "../host/host.js";
import { parseProvider } from "../p2pmem/provider-name.js";
import type { Bdf } from "../pci/bdf.js";
import { Session, type SessionOptions } from "../session.js";
import { counted } from "../units.js";
import { packageVersion } from "../version.js";
import { resultName, varyingFields } from "./combinations.js";
import { BenchError } from "./error.js";
import { evaluateExpectations } from "./expect/expectations.js";
import { blaming } from "./job/blame.js";
import { checkCount, MOST_JOBS, MOST_POINTS } from "./job/count.js";
import { jobsFrom, loadJobs, type JobFile, type LoadOptions } from "./job/load.js";
import type { JobParameters } from "./job/parameters.js";
import { pointsOf } from "./job/points.js";
import { namedDevices, platformOf, readExpectations, type ReadJobs } from "./jobs.js";
import { CopyLimit } from "./limit.js";
import { withKernelDevices } from "./measure/kernel-machine.js";
import { LeftOut } from "./measure/left-out.js";
import { describeMachine, type PointDevices } from "./measure/machine.js";
import { measure, type BenchProgress, type Measured } from "./measure/measure.js";
import { HostNoise, type NoiseSource } from "./measure/noise.js";
import { runnerOpener } from "./measure/open.js";
import { resolver } from "./measure/resolve.js";
import { machineWarnings } from "./measure/warnings.js";
import { isKernelPath, type BenchEndpoint, type BenchPoint } from "./point.js";
import { REPORT_FORMAT, type BenchReport, type BenchResult } from "./report.js";

/** How to run what was read. */
export interface RunOptions {
  /** Needed to write to namespaces of real devices, which then must be named. */
  allowWrite?: boolean;
  /** More than 10,000 combinations are wanted. Default: false. */
  yes?: boolean;
  /** With the buckets of latencies in the report. Default: false. */
  histograms?: boolean;
  /** The command that repeats it, for the report. Default: this process's. */
  command?: readonly string[];
  /** Ends it early: see BenchError. */
  signal?: AbortSignal;
  onProgress?: (progress: BenchProgress) => void;
  /** Told of what is to be measured before it begins. */
  onPoints?: (points: readonly BenchPoint[]) => void;
  /** Where noise is read. Default: this machine. */
  noise?: NoiseSource;
}

/** What bench() measures, and where. */
export interface BenchOptions extends RunOptions, LoadOptions {
  /**
   * Names of built-in jobs and of job files, or jobs as a job file has them, by their names; `quick`
   * without it.
   */
  jobs?: string | readonly string[] | JobFile;
  /** Parameters of each job, over what it says itself. */
  overrides?: JobParameters;
  /** The session to use, which stays open. Without it one is opened as `sessionOptions` say. */
  session?: Session;
  sessionOptions?: SessionOptions;
}

/**
 * Measures jobs, as `p2pmem bench` does. Look at `expectations` and at `verify` of the results: what
 * they found is no error.
 *
 * Errors: BAD_JOB_FILE, BAD_ARGUMENT, BAD_EXPRESSION and TOO_MANY_POINTS of the jobs; those of
 * Session.open(); what is wrong with a point, before the first runs; then a BenchError with the report:
 * INTERRUPTED by the signal, or where points failed that did not keep the others from running, the first
 * error of runCopy(), runPerf() or runKernel().
 */
export async function bench(options: BenchOptions = {}): Promise<BenchReport> {
  const jobs = await readJobs(options);
  if (options.session !== undefined) return runJobs(options.session, jobs, options);
  const { devices = [], ...rest } = options.sessionOptions ?? {};
  await using session = await Session.open({
    ...rest,
    ...platformOf(jobs, rest),
    devices: [...new Set([...devices, ...namedDevices(jobs)])],
  });
  return await runJobs(session, jobs, options);
}

/** Jobs, and what they expect, read. No machine is asked. Errors: as of {@link bench}. */
export async function readJobs({
  jobs = [],
  overrides = {},
  ...options
}: Pick<BenchOptions, "jobs" | "overrides" | "yes">): Promise<ReadJobs> {
  const isNames = typeof jobs === "string" || Array.isArray(jobs);
  const read = isNames
    ? await loadJobs(
        typeof jobs === "string" ? [jobs] : (jobs as readonly string[]),
        overrides,
        options,
      )
    : jobsFrom(jobs as JobFile, overrides, options);
  return { jobs: read, expectations: readExpectations(read) };
}

/** The same with a session, of which nobody but this benchmark should make use meanwhile. */
export async function runJobs(
  session: Session,
  { jobs, expectations }: ReadJobs,
  options: RunOptions = {},
): Promise<BenchReport> {
  const { allowWrite = false, noise = new HostNoise(new Host()) } = options;
  const { command = process.argv, signal = new AbortController().signal } = options;
  const started = new Date();
  const begin = performance.now();
  const points: BenchPoint[] = [];
  const leftOut = new LeftOut();
  const resolve = resolver(session, allowWrite, leftOut);
  for (const job of jobs) {
    points.push(...(await blaming(job, () => pointsOf(job, resolve))));
    // Again: how many `each` and `all` make only the machine knows.
    checkCount(points.length, options.yes === true ? MOST_JOBS : MOST_POINTS, options.yes === true);
  }
  const kernelPoints = points.filter(({ path }) => isKernelPath(path)).length;
  const isMixed = kernelPoints > 0 && kernelPoints < points.length;
  const warnings = [
    ...machineWarnings(noise),
    ...(isMixed && session.platform.kind === "loopback" ? [TWO_MACHINES] : []),
    ...leftOut.warnings,
  ];
  const own = await describeMachine(
    session,
    points.map((point) => devicesOf(session, point)),
    noise,
  );
  const machine = withKernelDevices(own, points);
  options.onPoints?.(points);
  const jobOf = new Map(jobs.map((job) => [job.name, job]));
  const open = runnerOpener(session, allowWrite);
  const measured = await measure(points, {
    open: (point) => blaming(jobOf.get(point.job)!, () => open(point)),
    openLimit: (range, buffers) => new CopyLimit(range, buffers),
    noise,
    clock: () => performance.now() - begin,
    histograms: options.histograms ?? false,
    signal,
    onProgress: options.onProgress,
  });
  const { results, failure } = measured;
  const report: BenchReport = {
    format: REPORT_FORMAT,
    version: packageVersion(),
    platform: kernelPoints === points.length ? "kernel" : session.platform.kind,
    started: started.toISOString(),
    command: [...command],
    incomplete: failure !== null,
    machine,
    results,
    expectations: evaluateExpectations(expectations, results),
    warnings: [...warnings, ...endWarnings(points, measured)],
  };
  const cause = failure ?? failureOf(results);
  if (cause !== null) throw new BenchError(cause, report);
  return report;
}

const TWO_MACHINES =
  "the kernel's paths ran on this machine's devices, the others on the loopback machine's: they do not compare";

/** Why a report has less than was asked for. */
function endWarnings(points: readonly BenchPoint[], { results, failure }: Measured): string[] {
  if (failure === null) return [];
  const whole = results.filter(({ incomplete, failed }) => !incomplete && failed === null).length;
  const reason =
    failure instanceof P2pError && failure.code === "INTERRUPTED" ? "interrupted" : failure.message;
  return [`${reason}: ${whole} of ${points.length} results are complete`];
}

/** One error for all of them, with the code of the first in the report; null where nothing failed. */
function failureOf(results: readonly BenchResult[]): P2pError | null {
  const failed = results.filter((result) => result.failed !== null);
  const [first] = failed;
  if (first === undefined) return null;
  const { code, message, hint } = first.failed!;
  const name = resultName(first, varyingFields(results.filter(({ job }) => job === first.job)));
  const count = `${failed.length} of ${counted(results.length, "result")}`;
  return new P2pError(code, `${count} failed; the first, ${name}: ${message}`, {
    ...(hint === null ? {} : { hint }),
  });
}

/** Those of the kernel's paths are of another kind: see withKernelDevices(). */
function devicesOf(
  { pci }: Session,
  { path, sources, destination, provider, rdma }: BenchPoint,
): PointDevices {
  const none = { sources: [], destination: null, provider: null, nics: [] };
  if (isKernelPath(path)) return { ...none, isKernel: true };
  const known = (endpoint: BenchEndpoint | null): Bdf[] =>
    endpoint !== null && "device" in endpoint ? [endpoint.device] : [];
  const memory = provider === null ? null : parseProvider(provider).device;
  return {
    sources: sources.flatMap(known),
    destination: known(destination)[0] ?? null,
    provider: memory !== null && pci.has(memory) ? memory : null,
    nics: (rdma ?? []).flatMap(({ address }) => address ?? []),
    isKernel: false,
  };
}
