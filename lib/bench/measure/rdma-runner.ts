import { checkRanges } from "../../copy/check.js";
import { P2pError } from "../../errors.js";
import type { Range } from "../../extents/ranges.js";
import { formatEndpoint } from "../../io/endpoint.js";
import type { Provider } from "../../p2pmem/provider.js";
import type { Session } from "../../session.js";
import { StreamEnd } from "../../stream/end.js";
import type { StreamOutcome } from "../../stream/outcome.js";
import type { StreamEndPlan } from "../../stream/plan.js";
import { tryAllInTurn } from "../../try-all.js";
import type { OfEnds, RdmaPath, RdmaPort } from "../point.js";
import { copyPlanOf, verifierOf, type CopyPoint } from "./copy-plan.js";
import type { Sample, SampleEnd, SampleRunner } from "./sample.js";
import { addTraffic } from "./tally.js";
import { warmUpOf } from "./warm-up.js";

export type RdmaPoint = CopyPoint & { path: RdmaPath };
type Plans = OfEnds<StreamEndPlan>;

/**
 * A copy whose two ends are both of this session, with the wire between them. Both are opened once, so
 * that all that can be wrong with them is found. Errors: those of copyPlanOf(), checkRanges() and
 * StreamEnd.open().
 */
export async function openRdmaRunner(
  session: Session,
  point: RdmaPoint,
  allowWrite: boolean,
): Promise<SampleRunner> {
  // As a copy through host memory, which has the same ranges.
  const plan = await copyPlanOf(session, point, "host", allowWrite);
  const { length: size } = await checkRanges(session, plan);
  const provider = point.provider === null ? null : await session.provider(point.provider);
  const plans = plansOf(session, point, { ...plan, size }, provider);
  await withStream(session, plans, () => Promise.resolve());
  let covered: readonly Range[] = [];
  const run = async (
    plans: Plans,
    signal: AbortSignal,
    onProgress?: (bytes: number) => void,
  ): Promise<Sample> =>
    withStream(session, plans, async (ends) => {
      const outcomes = await runBoth(ends, signal, onProgress);
      covered = [{ start: 0, end: Math.min(ends[1].written * point.bs, size) }];
      return sampleOf(point, size, ends, outcomes);
    });
  return {
    endpoints: { src: formatEndpoint(plan.source), dst: formatEndpoint(plan.destination) },
    footprint: session.platform.kind === "loopback" ? { range: size, slots: point.iodepth } : null,
    verifier: verifierOf(session, plan, point, () => covered),
    warmUp: async (signal) => {
      await run([warmUpOf(plans[0]), plans[1]], signal);
    },
    run: (signal, onProgress) => run(plans, signal, onProgress),
  };
}

function plansOf(
  session: Session,
  { rdma, bs, iodepth, cpusAllowed, ...point }: RdmaPoint,
  {
    source,
    destination,
    size,
    allowWrite,
  }: { size: number; allowWrite: boolean } & Pick<
    Awaited<ReturnType<typeof copyPlanOf>>,
    "source" | "destination"
  >,
  provider: Provider | null,
): Plans {
  if (rdma === null) throw new P2pError("INTERNAL", "a stream without ports");
  const [from, to] = rdma;
  const staging =
    provider === null ? { staging: "host" as const } : { staging: "p2pmem" as const, provider };
  const shared = { ...staging, bs, iodepth, size, allowWrite };
  const { loops, timeBased, rampTime, rateIops } = point;
  // One processor for each thread, in turn.
  const [first, ...others] = cpusAllowed;
  return [
    {
      ...{ ...shared, role: "source", endpoint: source, cpus: cpusAllowed },
      ...{ rdma: session.rdmaDevice(from.dev), port: from.port, gidIndex: from.gidIndex },
      ...{ loops, timeBased, rampTime, rateIops },
      ...(point.runtime === null ? {} : { runtime: point.runtime }),
    },
    {
      ...{ ...shared, role: "destination", endpoint: destination },
      ...{ rdma: session.rdmaDevice(to.dev), port: to.port, gidIndex: to.gidIndex },
      cpus: first === undefined ? [] : [...others, first],
    },
  ];
}

/** Opens both ends, connects them, and closes them after `use`. */
async function withStream<T>(
  session: Session,
  plans: Plans,
  use: (ends: OfEnds<StreamEnd>) => Promise<T>,
): Promise<T> {
  const opened: StreamEnd[] = [];
  try {
    for (const plan of plans) opened.push(await StreamEnd.open(session, plan));
    const [source, destination] = opened as [StreamEnd, StreamEnd];
    source.connect(destination.offer);
    destination.connect(source.offer);
    return await use([source, destination]);
  } finally {
    await tryAllInTurn(opened.map((end) => () => end.close()));
  }
}

/** Where one fails the other has nobody to wait for. Errors: those of StreamEnd.run(). */
async function runBoth(
  [source, destination]: OfEnds<StreamEnd>,
  signal: AbortSignal,
  onProgress: ((bytes: number) => void) | undefined,
): Promise<OfEnds<StreamOutcome>> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  let first: unknown = null;
  const orStop = async (run: Promise<StreamOutcome>): Promise<StreamOutcome | null> => {
    try {
      return await run;
    } catch (error) {
      first ??= error;
      failed.abort();
      return null;
    }
  };
  const progress = onProgress === undefined ? {} : { onProgress };
  const outcomes = await Promise.all([
    orStop(source.run({ signal: either, ...progress })),
    orStop(destination.run({ signal: either })),
  ]);
  const [from, to] = outcomes;
  if (from === null || to === null) throw first;
  return [from, to];
}

function sampleOf(
  { rdma }: RdmaPoint,
  size: number,
  ends: OfEnds<StreamEnd>,
  [from, to]: OfEnds<StreamOutcome>,
): Sample {
  const { bytes, blocks: ios, runtimeNs, latency, traffic } = from;
  const end = (index: 0 | 1, { ownTraffic, cpu }: StreamOutcome): SampleEnd => ({
    ...rdma![index],
    staging: ends[index].staging.memory,
    hostMemoryBytes: ownTraffic.host_memory_bytes,
    rootComplexBytes: ownTraffic.root_complex_bytes,
    cpu,
  });
  return {
    ...{ bytes, ios, runtimeNs, size, latency, reads: null, writes: null, inCmb: [] },
    cpu: {
      userNs: from.cpu.userNs + to.cpu.userNs,
      systemNs: from.cpu.systemNs + to.cpu.systemNs,
      busyNs: from.cpu.busyNs + to.cpu.busyNs,
      deviceNs: from.cpu.deviceNs,
    },
    // What is counted is of the whole machine, which has both ends.
    traffic: traffic.source === "counted" ? traffic : addTraffic(from.ownTraffic, to.ownTraffic),
    ends: [end(0, from), end(1, to)],
    notes: [...new Set([...sharedPort(rdma!), ...from.notes, ...to.notes])],
  };
}

/** What bounds a copy whose ends have one port between them. */
function sharedPort([from, to]: OfEnds<RdmaPort>): string[] {
  if (from.dev !== to.dev || from.port !== to.port) return [];
  return [
    `both ends share port ${from.port} of ${from.dev}: it sends and receives each byte itself`,
  ];
}
