/** The jobs that need no file. */
import { isKernelEndpoint } from "../../kernel/endpoint.js";
import { isMixed } from "../../perf/plan.js";
import { BENCH_PATHS, isKernelPath } from "../point.js";
import { isForCopiesOnly, takesProvider, writes } from "./check.js";
import type { JobParameters } from "./parameters.js";
import { Settings, unique, type MistakeAt } from "./settings.js";

interface Builtin {
  about: string;
  parameters: JobParameters;
  /** What holds over these where a destination was named. */
  withDestination?: JobParameters;
}

const BUILTINS = {
  quick: {
    about: "p2p, host and cpu at 4k and 128k, depth 1 and 32: some seconds; the default",
    parameters: {
      path: ["p2p", "host", "cpu"],
      bs: ["4k", "128k"],
      iodepth: [1, 32],
      runtime: "100ms",
    },
  },
  paths: {
    about: "all inside the machine (p2p, cpu: each provider; nvme-copy: one controller), 4k to 1m",
    parameters: {
      path: ["p2p", "host", "cpu", "nvme-copy"],
      provider: "all",
      bs: ["4k", "64k", "128k", "1m"],
      iodepth: [1, 8, 32],
      runtime: "1s",
    },
  },
  matrix: {
    about: "reads of each device into each provider; with --dst copies from each device to it",
    parameters: {
      ...{ rw: "read", path: "p2p", src: "each", provider: "all" },
      ...{ bs: "128k", iodepth: 32, runtime: "1s" },
    },
    withDestination: { rw: "copy", provider: "closest" },
  },
  registration: {
    about: "buffers that are mapped once against mapped for each block, 4k to 1m",
    parameters: {
      path: ["p2p", "host"],
      bs: ["4k", "16k", "64k", "256k", "1m"],
      iodepth: 32,
      registration: ["once", "each"],
      runtime: "1s",
    },
  },
  mix: {
    about: "70 % reads and 30 % writes at random places, with peer and host memory; OVERWRITES",
    parameters: {
      ...{ rw: "randrw", rwmixread: 70, path: ["p2p", "host"] },
      ...{ bs: "4k", iodepth: [1, 32], runtime: "1s" },
    },
  },
  rdma: {
    about: "p2p and host, and both over a NIC's wire (loopback: --machine rdma), at 4k and 128k",
    parameters: {
      path: ["p2p", "host", "rdma"],
      bs: ["4k", "128k"],
      iodepth: [1, 32],
      runtime: "100ms",
    },
  },
  soak: {
    about: "copies by p2p for an hour, each minute verified; crc32c OVERWRITES the source too",
    parameters: {
      ...{ path: "p2p", bs: "128k", iodepth: 32 },
      ...{ runtime: "1m", samples: 60, verify: "crc32c" },
    },
  },
} as const satisfies Record<string, Builtin>;

export type BuiltinName = keyof typeof BUILTINS;

/** What `p2pmem bench` runs where nothing else is named. */
export const DEFAULT_JOB: BuiltinName = "quick";

export const BUILTIN_JOBS: readonly { name: BuiltinName; about: string }[] = Object.entries(
  BUILTINS,
).map(([name, { about }]) => ({ name: name as BuiltinName, about }));

export function isBuiltin(name: string): name is BuiltinName {
  return Object.hasOwn(BUILTINS, name);
}

/** A line for each, for `p2pmem bench --list`. */
export function listText(): string {
  const width = Math.max(...BUILTIN_JOBS.map(({ name }) => name.length));
  return BUILTIN_JOBS.map(({ name, about }) => `${name.padEnd(width)}  ${about}\n`).join("");
}

/** What a built-in job says, over what `overrides` do not rule out. */
export function builtinSettings(
  name: BuiltinName,
  overrides: Settings,
  mistakeAt: MistakeAt,
): Settings {
  const { parameters, withDestination }: Builtin = BUILTINS[name];
  let own = Settings.read(parameters, mistakeAt).implied();
  if (overrides.values("dst") !== undefined && withDestination !== undefined)
    own = own.with(Settings.read(withDestination, mistakeAt).implied());
  return fit(own, overrides);
}

/**
 * Nobody has written a built-in job's parameters: what contradicts an override gives way. Where the
 * kernel's devices are named, its paths are measured, and the others where others are named, too.
 */
function fit(own: Settings, overrides: Settings): Settings {
  let both = withKernelPaths(own.with(overrides), overrides);
  const drop = (parameter: "provider" | "rwmixread" | "verify" | "runtime"): void => {
    if (overrides.values(parameter) === undefined) both = both.without(parameter);
  };
  const workloads = (both.values("rw") ?? ["copy"]).filter((rw) => rw !== "copy");
  if (workloads.length > 0 && overrides.values("path") === undefined) {
    const paths = (both.values("path") ?? []).flat();
    const fitting = paths.filter((path) => !isForCopiesOnly(path));
    both = both.replace("path", unique(fitting.map((path) => [path])));
  }
  if (!(both.values("path") ?? []).flat().some(takesProvider)) drop("provider");
  if (!workloads.some(isMixed)) drop("rwmixread");
  if (!(both.values("rw") ?? ["copy"]).some(writes)) drop("verify");
  if (overrides.values("size") !== undefined || overrides.values("loops") !== undefined)
    drop("runtime");
  return both;
}

function withKernelPaths(both: Settings, overrides: Settings): Settings {
  if (overrides.values("path") !== undefined) return both;
  const ends = [...(overrides.values("src") ?? []).flat(), ...(overrides.values("dst") ?? [])];
  if (!ends.some(isKernelEndpoint)) return both;
  const own = ends.every(isKernelEndpoint) ? [] : (both.values("path") ?? []).flat();
  return both.replace("path", [[...own, ...BENCH_PATHS.filter(isKernelPath)]]);
}
