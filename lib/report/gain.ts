import type { BenchPath } from "../bench/point.js";
import type { BenchResult } from "../bench/report.js";
import { groupBy } from "../group-by.js";
import { pairOf } from "./groups.js";
import { isKnown, quotient } from "./quantities.js";

/** A measurement through peer memory beside the same one through host memory. */
export interface Gain {
  peer: BenchResult;
  host: BenchResult;
  /** Bandwidth of the one divided by the other's. */
  ratio: number | null;
  /** From the bounds of both intervals: the least that the ratio can be and the most. */
  interval: [number, number] | null;
  outcome: Outcome;
  /** Of the driver's time for each block, as a part of it: -0.2 is a fifth less. */
  cpu: number | null;
}

/** `same`: the interval holds 1; `unknown`: there is no interval. */
export type Outcome = "faster" | "slower" | "same" | "unknown";

/** What each path through peer memory is held against. */
const BASELINES: Partial<Record<BenchPath, BenchPath>> = {
  p2p: "host",
  "rdma-p2p": "rdma-host",
  "kernel-p2p": "kernel-host",
};

/** For each result through peer memory whose like through host memory was measured too; none that failed. */
export function gainsOf(all: readonly BenchResult[]): Gain[] {
  const results = all.filter(({ failed }) => failed === null);
  const alike = groupBy(results, likeness);
  return results.flatMap((peer) => {
    const baseline = BASELINES[peer.path];
    const host = alike.get(likeness(peer))?.find(({ path }) => path === baseline);
    return host === undefined ? [] : [gainOf(peer, host)];
  });
}

/** The one that shows what the machine can do: where the faster of the two is fastest. */
export function headlineOf(gains: readonly Gain[]): Gain | null {
  const speed = ({ peer, host }: Gain): number => Math.max(peer.bw_bytes, host.bw_bytes);
  return gains.reduce<Gain | null>(
    (best, gain) => (best === null || speed(gain) > speed(best) ? gain : best),
    null,
  );
}

/** Bytes through host memory for each byte that was moved. */
export function hostBytesPerByte({ traffic, bytes }: BenchResult): number | null {
  return quotient(traffic.host_memory_bytes, bytes);
}

function gainOf(peer: BenchResult, host: BenchResult): Gain {
  const interval = ratioInterval(peer.samples.bw_bytes_ci, host.samples.bw_bytes_ci);
  const cpu = quotient(peer.cpu.busy_ns_per_block, host.cpu.busy_ns_per_block);
  return {
    peer,
    host,
    ratio: quotient(peer.bw_bytes, host.bw_bytes),
    interval,
    outcome: outcomeOf(interval),
    cpu: cpu === null ? null : cpu - 1,
  };
}

function ratioInterval(
  peer: readonly [number, number] | null,
  host: readonly [number, number] | null,
): [number, number] | null {
  if (peer === null || host === null) return null;
  const least = quotient(peer[0], host[1]);
  const most = quotient(peer[1], host[0]);
  return isKnown(least) && isKnown(most) ? [least, most] : null;
}

function outcomeOf(interval: readonly [number, number] | null): Outcome {
  if (interval === null) return "unknown";
  if (interval[0] > 1) return "faster";
  return interval[1] < 1 ? "slower" : "same";
}

/** All that must be the same for two paths to be compared. */
function likeness(result: BenchResult): string {
  const { job, rw, bs, iodepth, numjobs, rwmixread, registration } = result;
  return JSON.stringify([job, rw, bs, iodepth, numjobs, rwmixread, registration, pairOf(result)]);
}
