/**
 * The parameters of a job: the one table that the reader of job files, the options of the command line
 * and the JSON Schema come from. Names and meanings are fio's where fio has the thing.
 */
import { DESCRIPTORS, type Descriptors } from "../../nvme/descriptors/data-pointer.js";
import { PATTERNS } from "../../perf/plan.js";
import { BENCH_PATHS, isKernelPath, isRdmaPath, VERIFY_MODES } from "../point.js";
import type { BenchPath, VerifyMode, Workload } from "../point.js";
import { destination, provider, sources } from "./endpoints.js";
import {
  choice,
  cpus,
  deviceName,
  flag,
  ofEnds,
  percentiles,
  size,
  texts,
  time,
  whole,
  type Kind,
} from "./kinds.js";

/**
 * What a list of values does: `points`: results of all of them in one job; `jobs`: a job for each, since
 * a result does not say which it had; `none`: the list is one value, or there is no list.
 */
export type Sweep = "points" | "jobs" | "none";

export interface Parameter<T, Raw = unknown> {
  kind: Kind<T, Raw>;
  sweep: Sweep;
  /** One line, for the command line's help and for editors. */
  about: string;
  /** Other names of it. */
  aliases: readonly string[];
}

/** Path names; `rdma` for all over a wire, `kernel` for all that the kernel's driver takes. */
export type PathName = BenchPath | "rdma" | "kernel";

const byName = <Name extends string>(names: readonly Name[]): Record<Name, Name> =>
  Object.fromEntries(names.map((name) => [name, name])) as Record<Name, Name>;

const workload = choice<Workload, Workload | "readwrite">("a workload", {
  copy: "copy",
  ...byName(PATTERNS),
  readwrite: "rw",
});
const path = choice<readonly BenchPath[], PathName>("a path", {
  ...(Object.fromEntries(BENCH_PATHS.map((name) => [name, [name]])) as Record<
    BenchPath,
    BenchPath[]
  >),
  rdma: BENCH_PATHS.filter(isRdmaPath),
  kernel: BENCH_PATHS.filter(isKernelPath),
});
const verify = choice<VerifyMode | null, VerifyMode | "none">(
  "a mode of verification",
  { ...byName(VERIFY_MODES), none: null },
  "mode",
);
const registration = choice<"once" | "each", "once" | "each">(
  "a way of registration",
  byName(["once", "each"]),
);
const descriptors = choice<Descriptors, Descriptors>("a kind of descriptors", byName(DESCRIPTORS));

const MANY = Number.MAX_SAFE_INTEGER;

function entry<T, Raw>(
  kind: Kind<T, Raw>,
  sweep: Sweep,
  about: string,
  ...aliases: string[]
): Parameter<T, Raw> {
  return { kind, sweep, about, aliases };
}

export const PARAMETERS = {
  rw: entry(workload, "points", "copy, or I/Os: read, write, randread, randrw …", "readwrite"),
  path: entry(path, "points", "p2p, host, cpu, nvme-copy, rdma-p2p, rdma-host, kernel-p2p …"),
  src: entry(sources, "points", "BDF[/NSID][@OFFSET[+LENGTH]], auto, or each; a:b: both together"),
  dst: entry(destination, "points", "of copies, likewise"),
  provider: entry(provider, "points", "the peer memory: a name, closest, or all"),
  ib_dev: entry(
    ofEnds(deviceName),
    "jobs",
    "of the rdma paths: the RDMA device, or both ends' a:b",
  ),
  ib_port: entry(ofEnds(whole(1, 255)), "jobs", "its port, or both ends'"),
  gid_index: entry(ofEnds(whole(0, 65535)), "jobs", "its GID, or both ends'"),
  bs: entry(size(1), "points", "bytes of a block or I/O", "blocksize"),
  iodepth: entry(
    whole(1, 65535),
    "points",
    "blocks or I/Os in flight, of each thread at each source",
  ),
  numjobs: entry(whole(1, 1024), "points", "threads; each keeps a core busy", "jobs"),
  rwmixread: entry(whole(0, 100), "points", "reads of a hundred I/Os of rw and randrw"),
  registration: entry(registration, "points", "buffers are mapped once, or for each I/O"),
  size: entry(size(1), "jobs", "how much of each endpoint to use (default: to its end)"),
  offset: entry(size(0), "jobs", "how far into each endpoint to begin"),
  runtime: entry(time("above 0"), "jobs", "of each sample: seconds, or 500ms, 2m"),
  time_based: entry(flag, "none", "run for all of runtime, though size is done"),
  ramp_time: entry(time("0"), "jobs", "of the same I/Os before those that count"),
  loops: entry(whole(1, MANY), "jobs", "how often to go through the range"),
  samples: entry(whole(1, 10_000), "jobs", "how often to measure each combination"),
  rate_iops: entry(whole(1, MANY), "jobs", "I/Os or blocks a second of each thread, at most"),
  cpus_allowed: entry(cpus, "none", "processors to pin the threads to, in turn: 0-3,6"),
  group_reporting: entry(flag, "none", "always on: the results of threads are added up"),
  percentile_list: entry(percentiles, "none", "of the latency: 50:99:99.9"),
  verify: entry(
    verify,
    "jobs",
    "each sample: memcmp, crc32c or pattern (both OVERWRITE the source), none",
  ),
  randseed: entry(
    whole(0, 2 ** 32 - 1),
    "jobs",
    "of random places, mixes, and the choice among equally close providers",
  ),
  descriptors: entry(descriptors, "jobs", "how commands name memory: auto, prp or sgl"),
  sq_in_cmb: entry(
    flag,
    "jobs",
    "submission queues in their controller's CMB, where it takes them",
  ),
  lists_in_cmb: entry(flag, "jobs", "PRP lists and SGLs of copies there, likewise"),
  expect: entry(texts, "none", "what must hold, such as p2p.bw_bytes >= host.bw_bytes"),
} as const;

export type ParameterName = keyof typeof PARAMETERS;
type KindOf<N extends ParameterName> = (typeof PARAMETERS)[N]["kind"];
/** What a value is once it is read. */
export type Parsed<N extends ParameterName> = KindOf<N> extends Kind<infer T> ? T : never;
type Raw<N extends ParameterName> = KindOf<N> extends Kind<unknown, infer R> ? R : never;

/** A job or `global` section as it is written in a job file. */
export type JobParameters = {
  -readonly [N in ParameterName]?: (typeof PARAMETERS)[N]["sweep"] extends "none"
    ? Raw<N>
    : Raw<N> | readonly Raw<N>[];
};

export const PARAMETER_NAMES = Object.keys(PARAMETERS) as readonly ParameterName[];

const SPELLINGS = new Map<string, ParameterName>(
  PARAMETER_NAMES.flatMap((name) =>
    [name, ...PARAMETERS[name].aliases].map((spelling) => [spelling, name] as const),
  ),
);

/** `_` and `-` are alike. */
export function parameterOf(key: string): ParameterName | undefined {
  return SPELLINGS.get(key.replaceAll("-", "_"));
}

export function parameterSpellings(): Iterable<string> {
  return SPELLINGS.keys();
}
