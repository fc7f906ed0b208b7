/** Parameters that contradict each other: what can be said of a job before any machine is asked. */
import { needsProvider, type CopyPath } from "../../copy/plan.js";
import { isMixed } from "../../perf/plan.js";
import { formatSize } from "../../units.js";
import { isKernelEndpoint } from "../../kernel/endpoint.js";
import { isKernelPath, isRdmaPath, type BenchPath, type Workload } from "../point.js";
import { isWildcard } from "./endpoints.js";
import type { BenchJob } from "./job.js";
import type { Settings } from "./settings.js";

/** Errors: those of `settings.mistake()`. */
export function checkJob(job: BenchJob, settings: Settings): void {
  for (const check of [
    checkEnd,
    checkWorkload,
    checkProvider,
    checkCmb,
    checkVerify,
    checkKernel,
    checkRdma,
    checkIgnored,
    checkEndpoints,
  ])
    check(job, settings);
}

/** Blocks go from one namespace to another on them: they are no paths of I/Os. */
export function isForCopiesOnly(path: BenchPath): boolean {
  return path === "cpu" || path === "nvme-copy" || isRdmaPath(path);
}

/** Whether a path goes through peer memory that has a name. */
export function takesProvider(path: BenchPath): boolean {
  return path === "kernel-p2p" || path === "rdma-p2p" || needsProvider(path as CopyPath);
}

/** Whether a path has one way of its own to map memory. */
export function mapsOnce(path: BenchPath): boolean {
  return isKernelPath(path) || isRdmaPath(path);
}

/** Whether there is something to verify. */
export function writes(rw: Workload): boolean {
  return !rw.endsWith("read");
}

/** What `time_based` says, unless that is said of several jobs, and this one says its own `loops`. */
export function timeBasedOf(settings: Settings): boolean | undefined {
  const hasOwnLoops = settings.isOwn("loops") && !settings.isOwn("time_based");
  return hasOwnLoops ? false : settings.value("time_based");
}

function checkEnd({ bs, size }: BenchJob, settings: Settings): void {
  const runtime = settings.value("runtime");
  if (timeBasedOf(settings) === true) {
    if (runtime === undefined)
      throw settings.mistake("time_based", "without a runtime there is no end", {
        hint: "give a runtime, such as 10s",
      });
    if (settings.isOwn("loops"))
      throw settings.mistake("loops", "time_based runs until runtime, however many loops that is", {
        hint: "leave out loops, or time_based",
      });
  }
  const largest = Math.max(...bs);
  if (size !== null && size < largest)
    throw settings.mistake("size", `${formatSize(size)} holds no block of ${formatSize(largest)}`, {
      hint: "size is at least the largest bs",
    });
  if (settings.value("group_reporting") === false)
    throw settings.mistake("group_reporting", "there are no results of each thread alone", {
      hint: "leave it out, or give each thread a job of its own with numjobs: 1",
    });
}

function checkWorkload({ rw, path }: BenchJob, settings: Settings): void {
  const workload = rw.find((name) => name !== "copy");
  const copying = path.find(isForCopiesOnly);
  if (workload !== undefined && copying !== undefined)
    throw settings.mistake("path", `${copying} is a path of copies, but rw is ${workload}`, {
      hint: "I/Os take p2p, host, kernel-p2p or kernel-host",
    });
  const isAnyMixed = rw.some((name) => name !== "copy" && isMixed(name));
  if (settings.isOwn("rwmixread") && !isAnyMixed)
    throw settings.mistake("rwmixread", `rw is ${rw.join(", ")}, which mixes nothing`, {
      hint: "it goes with rw: rw or randrw",
    });
}

function checkProvider({ path }: BenchJob, settings: Settings): void {
  if (!settings.isOwn("provider") || path.some(takesProvider)) return;
  throw settings.mistake("provider", `the path ${path.join(", ")} goes through no peer memory`, {
    hint: "it goes with the paths p2p, cpu, rdma-p2p and kernel-p2p",
  });
}

function checkCmb({ rw, listsInCmb }: BenchJob, settings: Settings): void {
  const workload = rw.find((name) => name !== "copy");
  if (settings.isOwn("lists_in_cmb") && listsInCmb && workload !== undefined)
    throw settings.mistake("lists_in_cmb", `it goes with copies, but rw is ${workload}`, {
      hint: "leave it out; sq_in_cmb goes with I/Os, too",
    });
}

function checkVerify({ rw, rwmixread, verify }: BenchJob, settings: Settings): void {
  if (verify === null) return;
  if (settings.isOwn("verify") && !rw.some(writes))
    throw settings.mistake("verify", `rw is ${rw.join(", ")}: nothing is written to be verified`, {
      hint: "verify copies or writes",
    });
  const mix = rw.find((name) => name !== "copy" && isMixed(name));
  if (settings.isOwn("verify") && mix !== undefined && rwmixread.includes(100))
    throw settings.mistake(
      "rwmixread",
      `${mix} of 100 % reads writes nothing to be verified`,
      { hint: "give less than 100, or leave out verify" },
      rwmixread.indexOf(100),
    );
  const workload = rw.find((name) => name !== "copy" && writes(name));
  if (workload !== undefined && verify === "memcmp" && settings.isOwn("verify"))
    throw settings.mistake("verify", `memcmp compares with a source, and ${workload} has none`, {
      hint: "crc32c and pattern verify writes",
    });
}

function checkKernel({ path, rw, verify }: BenchJob, settings: Settings): void {
  const kernel = path.find(isKernelPath);
  const workload = rw.find((name) => name !== "copy" && writes(name));
  if (kernel !== undefined && verify !== null && workload !== undefined && settings.isOwn("verify"))
    throw settings.mistake("verify", `${workload} by the path ${kernel} is not verified`, {
      hint: "verify copies, or leave out the kernel's paths",
    });
}

function checkRdma({ path, numjobs }: BenchJob, settings: Settings): void {
  const rdma = path.find(isRdmaPath);
  const many = numjobs.findIndex((jobs) => jobs > 1);
  if (rdma !== undefined && many >= 0)
    throw settings.mistake(
      "numjobs",
      `the path ${rdma} has one thread at each end, not ${numjobs[many]}`,
      { hint: "leave it out, or measure the other paths in a job of their own" },
      many,
    );
  for (const name of ["ib_dev", "ib_port", "gid_index"] as const)
    if (rdma === undefined && settings.isOwn(name))
      throw settings.mistake(name, `the path ${path.join(", ")} has no wire`, {
        hint: "it goes with the paths rdma-p2p and rdma-host",
      });
}

/** What only the paths inside the machine have would be ignored where they have no part. */
function checkIgnored(job: BenchJob, settings: Settings): void {
  const { path, registration, descriptors, sqInCmb, listsInCmb } = job;
  if (!path.every(mapsOnce)) return;
  const [first] = path as [BenchPath];
  const decider = isKernelPath(first) ? "the kernel's driver" : "a stream";
  const ignored = [
    ["registration", registration.includes("each")],
    ["descriptors", descriptors !== "auto"],
    ["sq_in_cmb", sqInCmb],
    ["lists_in_cmb", listsInCmb],
  ] as const;
  for (const [name, isSaid] of ignored)
    if (isSaid && settings.isOwn(name))
      throw settings.mistake(name, `${decider} decides this itself: path is ${first}`, {
        hint: "leave it out, or add one of the paths that take it: p2p, host",
      });
}

function checkEndpoints(job: BenchJob, settings: Settings): void {
  const { rw, path, src, dst } = job;
  const copies = rw.includes("copy");
  const together = src.find((endpoints) => endpoints.length > 1);
  if (copies && together !== undefined)
    throw settings.mistake("src", `a copy has one source, not ${together.join(" and ")} together`, {
      hint: "a list of single endpoints copies from one after the other",
    });
  if (!copies && settings.isOwn("dst") && dst.some((endpoint) => !isWildcard(endpoint)))
    throw settings.mistake("dst", `nothing is copied: rw is ${rw.join(", ")}`, {
      hint: "src names what I/Os read and write",
    });
  const kernel = path.filter(isKernelPath);
  const own = path.filter((name) => !isKernelPath(name));
  const sides = copies ? (["src", "dst"] as const) : (["src"] as const);
  for (const side of sides) {
    const endpoints = job[side].flat();
    const isForKernel = endpoints.some(isKernelEndpoint);
    const isForOwn = endpoints.some((endpoint) => !isKernelEndpoint(endpoint));
    if (kernel.length > 0 && !isForKernel)
      throw settings.mistake(side, `${kernel[0]} needs one of the kernel's devices`, {
        hint: "name /dev/nvmeXnY or file:PATH",
      });
    if (own.length > 0 && !isForOwn)
      throw settings.mistake(side, `${own[0]} needs a device that p2pmem drives`, {
        hint: "name BDF[/NSID], auto or each; the kernel's devices go with the path kernel",
      });
    if (kernel.length === 0 && isForKernel)
      throw settings.mistake(side, `path ${own.join(", ")} does not reach the kernel's devices`, {
        hint: "they go with the path kernel-p2p or kernel-host",
      });
    const ownUnused = endpoints.find((endpoint) => !isKernelEndpoint(endpoint));
    if (own.length === 0 && ownUnused !== undefined)
      throw settings.mistake(side, `path ${kernel.join(", ")} does not reach ${ownUnused}`, {
        hint: "name /dev/nvmeXnY or file:PATH",
      });
  }
}
