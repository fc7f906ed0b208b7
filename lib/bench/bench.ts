import { randomInt } from "node:crypto";
import { checkPlan } from "../copy/check.js";
import { runCopy } from "../copy/copy.js";
import type { Endpoint } from "../io/endpoint.js";
import { needsProvider, type CopyPath, type CopyPlan } from "../copy/plan.js";
import { copyResult, type CopyMeasurement, type CopyResult } from "../copy/result.js";
import { checkStamps, stampSource, type Verification } from "../copy/verify.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { CopyLimit } from "./limit.js";

/** Bytes of a namespace that a benchmark works on where no length was given, at most. */
const DEFAULT_RANGE = 2 ** 30;

/** A sweep: every path with every block size, every depth and every number of jobs. */
export interface BenchPlan {
  source: Endpoint;
  destination: Endpoint;
  provider: Provider | null;
  paths: readonly CopyPath[];
  /** Bytes. */
  bs: readonly number[];
  iodepth: readonly number[];
  /** Default: 1. */
  jobs?: readonly number[];
  /** Seconds for each run. */
  runtime: number;
  /** As in a CopyPlan. */
  sqInCmb?: boolean;
  listsInCmb?: boolean;
  /** Stamps the source before each run and looks for the stamps in the destination after. */
  verify: boolean;
  allowWrite: boolean;
  signal: AbortSignal;
}

export interface BenchResult extends CopyResult {
  /** Two memcpys a block by one thread, bytes a second; on the loopback machine only. */
  limit_bw_bytes?: number;
}

/** Told of each run: when it begins, and how far it is. */
export type OnRun = (plan: CopyPlan) => {
  update(bytes: number, total: number | null): void;
  end(): void;
};

/** Errors: those of checkPlan() for any run of the sweep, before the first begins; of runCopy(). */
export async function runBench(
  session: Session,
  bench: BenchPlan,
  onRun: OnRun,
): Promise<BenchResult[]> {
  const size = await rangeOf(session, bench);
  const plans = plansOf(bench, size);
  const slots: number[] = [];
  for (const plan of plans) slots.push(await blocksInFlight(session, plan));
  const inFlight = plans.map(({ bs }, index) => bs * (slots[index] ?? 0));
  const limit =
    session.platform.kind === "loopback" && size !== undefined
      ? new CopyLimit(size, Math.max(...inFlight))
      : null;
  try {
    const results: BenchResult[] = [];
    // Another seed for each run of each benchmark: what an earlier one left must not pass.
    const firstSeed = randomInt(2 ** 32);
    for (const [index, plan] of plans.entries()) {
      const seed = bench.verify ? (firstSeed + index) >>> 0 : null;
      results.push(await runOne(session, plan, slots[index] ?? 0, seed, limit, onRun));
    }
    return results;
  } finally {
    limit?.close();
  }
}

async function blocksInFlight(session: Session, plan: CopyPlan): Promise<number> {
  const { slots } = await checkPlan(session, plan);
  return slots.jobs * slots.count;
}

/** Next to each other what one compares: the paths of one block size, depth and number of jobs. */
function plansOf(bench: BenchPlan, size: number | undefined): CopyPlan[] {
  const { source, destination, provider, runtime, allowWrite, signal } = bench;
  const { sqInCmb = false, listsInCmb = false } = bench;
  const shared = { source, destination, runtime, sqInCmb, listsInCmb, allowWrite, signal };
  return bench.bs.flatMap((bs) =>
    bench.iodepth.flatMap((iodepth) =>
      (bench.jobs ?? [1]).flatMap((jobs) =>
        bench.paths.map((path) => ({
          ...shared,
          ...(size === undefined ? {} : { size }),
          path,
          provider: needsProvider(path) ? provider : null,
          bs,
          iodepth,
          jobs,
        })),
      ),
    ),
  );
}

async function runOne(
  session: Session,
  plan: CopyPlan,
  slots: number,
  seed: number | null,
  limit: CopyLimit | null,
  onRun: OnRun,
): Promise<BenchResult> {
  if (seed !== null) await stampSource(session, plan, seed);
  const timed = (): Promise<CopyMeasurement> => runShown(session, plan, onRun);
  const [measured, limitBandwidth] =
    limit === null ? [await timed(), null] : await limit.around(plan.bs, slots, timed);
  let verification: Verification | null = null;
  if (seed !== null) verification = await checkStamps(session, plan, seed, measured.covered);
  return {
    ...copyResult(plan, measured, verification),
    ...(limitBandwidth === null ? {} : { limit_bw_bytes: limitBandwidth }),
  };
}

/**
 * One copy, with the limit beside it on the loopback machine. Errors: those of runCopy().
 */
export async function runCopyWithLimit(
  session: Session,
  plan: CopyPlan,
  onRun: OnRun,
): Promise<{ measured: CopyMeasurement; limit: { limit_bw_bytes?: number } }> {
  const timed = (): Promise<CopyMeasurement> => runShown(session, plan, onRun);
  if (session.platform.kind !== "loopback") return { measured: await timed(), limit: {} };
  const { length, slots } = await checkPlan(session, plan);
  const inFlight = slots.jobs * slots.count;
  const limit = new CopyLimit(Math.min(length, DEFAULT_RANGE), plan.bs * inFlight);
  try {
    const [measured, bandwidth] = await limit.around(plan.bs, inFlight, timed);
    return { measured, limit: { limit_bw_bytes: bandwidth } };
  } finally {
    limit.close();
  }
}

function runShown(session: Session, plan: CopyPlan, onRun: OnRun): Promise<CopyMeasurement> {
  const run = onRun(plan);
  return runCopy(session, {
    ...plan,
    onProgress: (bytes, total) => {
      run.update(bytes, total);
    },
  }).finally(() => {
    run.end();
  });
}

/** Bytes to work on; undefined where checkPlan() will say what is wrong with the endpoints. */
async function rangeOf(session: Session, bench: BenchPlan): Promise<number | undefined> {
  const available = await Promise.all(
    [bench.source, bench.destination].map(async ({ device, nsid, offset, length }) => {
      const { namespaces } = await session.controller(device);
      const namespace = namespaces.find((candidate) => candidate.nsid === nsid);
      if (namespace === undefined) return { bytes: 0, blockSize: 1 };
      return { bytes: length ?? namespace.size - offset, blockSize: namespace.blockSize };
    }),
  );
  const named = bench.source.length !== undefined || bench.destination.length !== undefined;
  const most = Math.min(...available.map(({ bytes }) => bytes), named ? Infinity : DEFAULT_RANGE);
  const blockSize = Math.max(...available.map(({ blockSize }) => blockSize));
  return most > 0 ? most - (named ? 0 : most % blockSize) : undefined;
}
