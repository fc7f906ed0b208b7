import { getSystemErrorName } from "node:util";
import type { Traffic } from "../io/traffic.js";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import { Host } from "../host/host.js";
import type { Bdf } from "../pci/bdf.js";
import { peerPath } from "../pci/peer-path.js";
import type { PciTree } from "../pci/tree.js";
import { Histogram } from "../reactor/histogram.js";
import type { CpuTime } from "../reactor/engine-job.js";
import { Reactor, type RunnerUrl } from "../reactor/reactor.js";
import { checkKernelPlan } from "./check.js";
import { formatKernelEndpoint } from "./endpoint.js";
import { IoRing } from "./io-ring.js";
import type { KernelFailure, KernelJob, KernelOutcome } from "./job.js";
import type { KernelPlan } from "./plan.js";
import { KernelSetup, type KernelThread } from "./setup.js";
import { kernelTraffic } from "./traffic.js";

const RUNNER: RunnerUrl<KernelJob, KernelOutcome> = new URL("./run-job.js", import.meta.url);

/** How often progress is told of. */
const WATCH_MS = 100;

/** What one run of a plan gave, without its ramp. */
export interface KernelMeasurement {
  bytes: number;
  /** I/Os, or blocks of a copy. */
  ios: number;
  /** From the end of the ramp to the last completion, of the thread that took longest. */
  runtimeNs: number;
  /** Bytes of each target that it went over; null where they differ. */
  size: number | null;
  /** Submission to completion of each I/O; of a copy, from the begin of a block's read to the end of its write. */
  latency: Histogram;
  /** Null of a copy. */
  reads: Histogram | null;
  writes: Histogram | null;
  /**
   * Of all threads together. The kernel's work in interrupts and in threads of its own, which happens for
   * a file system at most, is not in it.
   */
  cpu: CpuTime;
  /** Whose p2pmem was used; null: ordinary memory. */
  provider: Bdf | null;
  /** Of the pairs of provider and client, as the kernel's p2pdma has them. */
  pairs: { client: Bdf; mapType: string; reason: string }[];
  traffic: Traffic;
  /** The kernel had pinned the memory before the first I/O (registered buffers of io_uring). */
  isRegistered: boolean;
  /** Of a copy, the parts of its range that have been copied, bytes from its begin; else null. */
  covered: Range[] | null;
  notes: string[];
}

/** Lends polling threads, as a Session does; they are kept for the next who asks. */
export interface ReactorLender {
  withReactor<T>(use: (reactor: Reactor) => Promise<T>): Promise<T>;
}

/** Has none to keep. */
const OWN_REACTORS: ReactorLender = {
  withReactor: async (use) => {
    const reactor = new Reactor();
    try {
      return await use(reactor);
    } finally {
      await reactor.close();
    }
  },
};

/**
 * Has the kernel's own driver read, write or copy as the plan says, by io_uring with O_DIRECT, in threads
 * that sleep while nothing completes. Peer memory is proved by canaries first, both ways.
 *
 * Errors: BAD_ARGUMENT, BAD_SIZE, BAD_ENDPOINT, WRITE_NOT_ALLOWED, UNALIGNED, BAD_RANGE, OVERLAP, PERMISSION,
 * IN_USE, UNSUPPORTED; KERNEL_P2PMEM, with what is missing; NO_ROOM; PATH_REFUSED, PATH_LOSES_DATA;
 * NO_IO_URING, MEMLOCK, NO_MEMORY; IO, of the first I/O that failed: what is in flight is waited for;
 * INTERRUPTED by the plan's signal.
 */
export async function runKernel(
  plan: KernelPlan,
  reactors: ReactorLender = OWN_REACTORS,
  host = new Host(),
): Promise<KernelMeasurement> {
  checkKernelPlan(plan);
  const tree = host.pci();
  const setup = new KernelSetup(host, tree, plan);
  try {
    const threads = await setup.openThreads();
    const outcomes = await runThreads(plan, setup, threads, reactors);
    const failure = outcomes.find((outcome) => outcome.failure !== null)?.failure;
    if (failure) throw ioError(setup, failure);
    if (plan.signal?.aborted === true)
      throw new P2pError("INTERRUPTED", "interrupted; what was in flight has finished");
    return measurementOf(plan, tree, setup, threads, outcomes);
  } finally {
    setup.close();
  }
}

/**
 * All that can be wrong with a plan before its first I/O: opens what it names, gets its memory and proves
 * it, and lets everything go again. Errors: those of runKernel(), but IO and INTERRUPTED.
 */
export async function checkKernel(plan: KernelPlan, host = new Host()): Promise<void> {
  checkKernelPlan(plan);
  const setup = new KernelSetup(host, host.pci(), plan);
  try {
    await setup.openThreads();
    IoRing.open(1).close();
  } finally {
    setup.close();
  }
}

/** The first failure stops all threads; returns when none runs any more. */
async function runThreads(
  plan: KernelPlan,
  { jobs }: KernelSetup,
  threads: readonly KernelThread[],
  reactors: ReactorLender,
): Promise<KernelOutcome[]> {
  const stop = (): void => {
    for (const { control } of threads) control.stop();
  };
  const errors: unknown[] = [];
  const fail = (error: unknown): void => {
    errors.push(error);
    stop();
  };
  const total = plan.bs * threads.reduce((sum, { job }) => sum + workIn(job), 0);
  const tell = (): void => {
    try {
      plan.onProgress?.(
        threads.reduce((sum, { control }) => sum + control.bytes, 0),
        Number.isFinite(total) ? total : null,
      );
    } catch (error) {
      fail(error);
    }
  };
  const stopWaiting = jobs.whenCounting(() => undefined);
  const watch = setInterval(tell, WATCH_MS);
  plan.signal?.addEventListener("abort", stop);
  if (plan.signal?.aborted === true) stop();
  const outcomes: KernelOutcome[] = [];
  try {
    await Promise.all(
      threads.map(async ({ job }, index) => {
        try {
          const outcome = await reactors.withReactor((reactor) => reactor.run(RUNNER, job));
          outcomes[index] = outcome;
          if (outcome.failure !== null) stop();
        } catch (error) {
          fail(error);
        } finally {
          // If it did not even begin, the others must not wait for it.
          jobs.release();
        }
      }),
    );
  } finally {
    stopWaiting();
    clearInterval(watch);
    plan.signal?.removeEventListener("abort", stop);
  }
  tell();
  if (errors.length > 0) throw errors[0];
  return outcomes;
}

/** I/Os that a job ends after; Infinity: time ends it. */
function workIn({ work, endsWithWork }: KernelJob): number {
  if (endsWithWork !== true) return Infinity;
  return work.kind === "copy" ? work.work : work.targets.reduce((sum, each) => sum + each.work, 0);
}

function ioError({ ranges, provider }: KernelSetup, failure: KernelFailure): P2pError {
  const { isWrite, file, offset, length, result } = failure;
  const what = result < 0 ? getSystemErrorName(result) : `${result} bytes only`;
  const name = formatKernelEndpoint({ file: ranges[file]!.target.endpoint.file, offset, length });
  return new P2pError("IO", `${isWrite ? "a write to" : "a read of"} ${name} failed: ${what}`, {
    ...(result < 0 ? { errno: -result } : {}),
    ...(provider === null ? {} : { device: provider }),
    hint: "look at the kernel's log: dmesg",
  });
}

function measurementOf(
  plan: KernelPlan,
  tree: PciTree,
  setup: KernelSetup,
  threads: readonly KernelThread[],
  outcomes: readonly KernelOutcome[],
): KernelMeasurement {
  const { provider, ranges, notes } = setup;
  const sum = (value: (outcome: KernelOutcome) => number): number =>
    outcomes.reduce((before, outcome) => before + value(outcome), 0);
  const isCopy = plan.rw === "copy";
  const reads = merged(threads.map((thread) => thread.reads));
  const writes = merged(threads.map((thread) => thread.writes));
  const [size = 0, ...others] = new Set(ranges.map(({ length }) => length));
  const clients = [...new Set(ranges.flatMap(({ target }) => target.clients))];
  return {
    bytes: sum(({ bytes }) => bytes),
    ios: sum(({ ios }) => ios),
    runtimeNs: Math.max(...outcomes.map(({ runtimeNs }) => runtimeNs)),
    size: others.length === 0 ? size : null,
    latency: isCopy ? reads : merged([reads, writes]),
    reads: isCopy ? null : reads,
    writes: isCopy ? null : writes,
    cpu: { userNs: sum(({ cpu }) => cpu.userNs), systemNs: sum(({ cpu }) => cpu.systemNs) },
    provider,
    pairs: clients.flatMap((client) => {
      if (provider === null) return [];
      const { mapType, reason } = peerPath(tree, tree.get(provider), client).kernel;
      return [{ client: client.address, mapType, reason }];
    }),
    traffic: trafficOf(plan, tree, setup, outcomes),
    isRegistered: outcomes.every(({ isRegistered }) => isRegistered),
    covered: setup.covered(outcomes.map(({ allBytes }) => allBytes)),
    notes,
  };
}

/** A copy's source is read and its destination written. */
function trafficOf(
  plan: KernelPlan,
  tree: PciTree,
  { provider, ranges }: KernelSetup,
  outcomes: readonly KernelOutcome[],
): Traffic {
  const sum = (value: (outcome: KernelOutcome) => number): number =>
    outcomes.reduce((before, outcome) => before + value(outcome), 0);
  const legs = ranges.map(({ target: { clients, isDisk } }, index) => {
    const target = { clients, isFile: !isDisk };
    if (plan.rw === "copy") {
      const bytes = sum((outcome) => outcome.bytes);
      const isSource = index === 0;
      return { ...target, readBytes: isSource ? bytes : 0, writtenBytes: isSource ? 0 : bytes };
    }
    return {
      ...target,
      readBytes: plan.bs * sum(({ targets }) => targets[index]!.reads),
      writtenBytes: plan.bs * sum(({ targets }) => targets[index]!.writes),
    };
  });
  return kernelTraffic(tree, provider, legs);
}

function merged(histograms: readonly Histogram[]): Histogram {
  const all = new Histogram();
  for (const histogram of histograms) all.merge(histogram);
  return all;
}
