import type { P2pError, P2pErrorDetails } from "../../errors.js";
import type { Descriptors } from "../../nvme/descriptors/data-pointer.js";
import { DEFAULT_READ_PERCENT } from "../../perf/plan.js";
import { shortSize } from "../../units.js";
import type { BenchPath, OfEnds, VerifyMode, Workload } from "../point.js";
import { checkJob, timeBasedOf } from "./check.js";
import { PARAMETER_NAMES, PARAMETERS, type ParameterName, type Parsed } from "./parameters.js";
import { unique, type Settings } from "./settings.js";

/**
 * What to measure: every combination of the lists. Sizes in bytes, times in seconds. Endpoints and
 * providers are as written, checked but not looked for.
 */
export interface BenchJob {
  name: string;
  /** The job file; null: a built-in job, or one of a program. */
  file: string | null;

  rw: readonly Workload[];
  path: readonly BenchPath[];
  /** Those of one combination run together. */
  src: readonly (readonly string[])[];
  dst: readonly string[];
  provider: readonly string[];
  /** Of the paths over RDMA; null: whatever the machine has. */
  ibDev: OfEnds<string> | null;
  ibPort: OfEnds<number> | null;
  gidIndex: OfEnds<number> | null;
  bs: readonly number[];
  iodepth: readonly number[];
  numjobs: readonly number[];
  /** Of the mixed workloads alone. */
  rwmixread: readonly number[];
  registration: readonly ("once" | "each")[];

  offset: number;
  size: number | null;
  runtime: number | null;
  /** As in a BenchPoint. */
  timeBased: boolean;
  loops: number;
  rampTime: number;
  samples: number;
  rateIops: number | null;
  cpusAllowed: readonly number[];
  verify: VerifyMode | null;
  randseed: number;
  percentiles: readonly number[];
  descriptors: Descriptors;
  sqInCmb: boolean;
  listsInCmb: boolean;

  /** As written. */
  expect: readonly string[];

  /** Somebody wrote this parameter; else it is a built-in job's, or what holds where nothing is said. */
  says: (parameter: ParameterName) => boolean;
  /**
   * An error of this parameter, or of an item of its list, in its file and line: for what is found out
   * later, or only the machine knows.
   */
  mistake: (
    parameter: ParameterName,
    what: string,
    details?: P2pErrorDetails,
    item?: number,
  ) => P2pError;
}

/** Seconds of a sample where neither time nor work is said. */
const DEFAULT_RUNTIME = 1;
/** The fewest whose extremes hold the median in 95 of 100 cases: 1 - 2 / 2**6 = 0.97. */
const DEFAULT_SAMPLES = 6;
/** One for all runs, as fio's `randrepeat` has it: a run that is repeated goes to the same places. */
const DEFAULT_RANDSEED = 1;
const DEFAULT_PERCENTILES = [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 99.999];

/** How many jobs expand() makes of one. */
export function jobsIn(settings: Settings): number {
  return jobSweeps(settings).reduce((product, { values }) => product * values.length, 1);
}

/**
 * One job, or one for each combination of those lists of which results do not tell the value. Those are
 * named `NAME rate_iops=1000`. Errors: those of checkJob().
 */
export function expand(name: string, file: string | null, settings: Settings): BenchJob[] {
  let jobs = [{ name, settings }];
  for (const { parameter, values } of jobSweeps(settings))
    jobs = jobs.flatMap((job) =>
      values.map((value) => ({
        name: `${job.name} ${parameter}=${valueName(parameter, value)}`,
        settings: job.settings.replace(parameter, [value]),
      })),
    );
  return jobs.map((job) => assemble(job.name, file, job.settings));
}

interface JobSweep {
  parameter: ParameterName;
  values: readonly Parsed<ParameterName>[];
}

function jobSweeps(settings: Settings): JobSweep[] {
  return PARAMETER_NAMES.filter((name) => PARAMETERS[name].sweep === "jobs")
    .map((parameter) => ({ parameter, values: settings.values(parameter) ?? [] }))
    .filter(({ values }) => values.length > 1);
}

function valueName(parameter: ParameterName, value: Parsed<ParameterName>): string {
  if (parameter === "size" || parameter === "offset") return shortSize(value as number);
  // Of both ends: `1:2`, or what is the same of both.
  if (Array.isArray(value)) return unique(value as readonly unknown[]).join(":");
  return value === null ? "none" : String(value);
}

function assemble(name: string, file: string | null, settings: Settings): BenchJob {
  const paths = unique((settings.values("path") ?? ([["p2p"], ["host"]] as const)).flat());
  const job: BenchJob = {
    name,
    file,
    rw: settings.values("rw") ?? ["copy"],
    path: paths,
    src: settings.values("src") ?? [["auto"]],
    dst: settings.values("dst") ?? ["auto"],
    provider: settings.values("provider") ?? ["closest"],
    ibDev: settings.value("ib_dev") ?? null,
    ibPort: settings.value("ib_port") ?? null,
    gidIndex: settings.value("gid_index") ?? null,
    bs: settings.values("bs") ?? [4096],
    iodepth: settings.values("iodepth") ?? [1],
    numjobs: settings.values("numjobs") ?? [1],
    rwmixread: settings.values("rwmixread") ?? [DEFAULT_READ_PERCENT],
    registration: settings.values("registration") ?? ["once"],
    offset: settings.value("offset") ?? 0,
    size: settings.value("size") ?? null,
    ...endOf(settings),
    loops: settings.value("loops") ?? 1,
    rampTime: settings.value("ramp_time") ?? 0,
    samples: settings.value("samples") ?? DEFAULT_SAMPLES,
    rateIops: settings.value("rate_iops") ?? null,
    cpusAllowed: settings.value("cpus_allowed") ?? [],
    verify: settings.value("verify") ?? null,
    randseed: settings.value("randseed") ?? DEFAULT_RANDSEED,
    percentiles: settings.value("percentile_list") ?? DEFAULT_PERCENTILES,
    descriptors: settings.value("descriptors") ?? "auto",
    sqInCmb: settings.value("sq_in_cmb") ?? false,
    listsInCmb: settings.value("lists_in_cmb") ?? false,
    expect: settings.value("expect") ?? [],
    says: (parameter) => settings.says(parameter),
    mistake: (parameter, ...mistake) => settings.mistake(parameter, ...mistake),
  };
  checkJob(job, settings);
  return job;
}

/**
 * What ends a sample. As with fio, `size` and `loops` do, and `runtime` if it comes first, unless the run
 * is `time_based`. Where nothing of this is said there is no work to be done with: unlike fio's a run then
 * goes over its range until `runtime`.
 */
function endOf(settings: Settings): Pick<BenchJob, "runtime" | "timeBased"> {
  const isTimeBased = timeBasedOf(settings);
  const isWork =
    isTimeBased === false ||
    settings.value("size") !== undefined ||
    settings.value("loops") !== undefined;
  const runtime = settings.value("runtime");
  if (runtime === undefined && isWork) return { runtime: null, timeBased: false };
  return { runtime: runtime ?? DEFAULT_RUNTIME, timeBased: isTimeBased ?? !isWork };
}
