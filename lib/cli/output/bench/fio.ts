import { constants } from "node:os";
import { byJob, resultName, varyingFields } from "../../../bench/combinations.js";
import type { BenchReport, BenchResult, Latency } from "../../../bench/report.js";
import { stringify } from "../json.js";
import { completionLatency, latencyShares, totalLatency } from "./fio-latency.js";

/** Whose layout it is; what compares versions reads this one. */
const LAYOUT = "fio-3.33";
/** What fio's error is where verification finds other data: EILSEQ. */
const EILSEQ = constants.errno.EILSEQ;
const { EINTR, EIO } = constants.errno;

/**
 * As `fio --output-format=json+` has it, for tools that read that: one entry of `jobs` for each
 * result. What is not known is left out, or 0 beside a count of 0, as fio does with what it did not
 * measure (its `slat_ns`). A copy has a read and a write side, of all blocks each; its latency is on
 * the write side, since a block's ends with its write, and the read side has none of its own.
 *
 * `written`: the moment of writing, fio's `timestamp`.
 */
export function benchFioJson(report: BenchReport, written: Date): string {
  const jobs = byJob(report.results);
  const fields = new Map([...jobs].map(([job, results]) => [job, varyingFields(results)]));
  return stringify({
    "fio version": `${LAYOUT}-p2pmem-${report.version}`,
    timestamp: Math.floor(written.getTime() / 1000),
    timestamp_ms: written.getTime(),
    time: ctime(written),
    jobs: report.results.map((result, index) => {
      const name = resultName(result, fields.get(result.job)!);
      return jobOf(result, name, index);
    }),
  });
}

/** Each is a group of its own: no two run at the same time. */
function jobOf(result: BenchResult, jobname: string, groupid: number): object {
  const { samples, numjobs, cpu, runtime_ns: runtime, lat_ns: latency } = result;
  const { read, write } = sidesOf(result);
  const lastBegin = samples.at_s.at(-1) ?? 0;
  const lastLength = runtime / 1e9 / Math.max(samples.at_s.length, 1);
  return {
    jobname,
    groupid,
    error: errorOf(result),
    eta: 0,
    elapsed: Math.ceil(lastBegin + lastLength),
    "job options": optionsOf(result),
    read: sideOf(result, read),
    write: sideOf(result, write),
    trim: sideOf(result, NOTHING),
    sync: { total_ios: 0, lat_ns: totalLatency(null, 0) },
    job_runtime: Math.round(runtime / 1e6),
    // A thread's share, as fio has it; JSON has no NaN, so that what is not known says null.
    usr_cpu: cpu.usr_pct / numjobs,
    sys_cpu: cpu.sys_pct / numjobs,
    ...(latency?.histogram === undefined ? {} : latencyShares(latency.histogram)),
  };
}

function errorOf({ verify, incomplete, failed }: BenchResult): number {
  if ((verify?.mismatches ?? 0) > 0) return EILSEQ;
  if (failed !== null) return EIO;
  return incomplete ? EINTR : 0;
}

/** Strings all, as fio has them. */
function optionsOf(result: BenchResult): Record<string, string> {
  const { job: name, rw, path, provider, src, dst } = result;
  const { bs, size, iodepth, numjobs, rwmixread, registration, randseed } = result;
  const all = {
    ...{ name, rw, path, provider, src, dst },
    ...{ bs, size, iodepth, numjobs, rwmixread, registration, randseed },
  };
  return Object.fromEntries(
    Object.entries(all)
      .filter(([, value]) => value !== null)
      .map(([key, value]) => [key, String(value)]),
  );
}

interface Side {
  bytes: number;
  ios: number;
  latency: Latency | null;
  /** The samples are of this side alone, not of both together. */
  hasSamples: boolean;
}

const NOTHING: Side = { bytes: 0, ios: 0, latency: null, hasSamples: false };

function sidesOf(result: BenchResult): { read: Side; write: Side } {
  const { rw, bytes, ios, bs } = result;
  const all: Side = { bytes, ios, latency: result.lat_ns, hasSamples: true };
  if (rw === "copy") return { read: { ...all, latency: null }, write: all };
  if (rw === "read" || rw === "randread") return { read: all, write: NOTHING };
  if (rw === "write" || rw === "randwrite") return { read: NOTHING, write: all };
  const part = (of: BenchResult["read"]): Side =>
    of === null
      ? NOTHING
      : { bytes: of.ios * bs, ios: of.ios, latency: of.lat_ns, hasSamples: false };
  return { read: part(result.read), write: part(result.write) };
}

/** Rates are of the whole run, as fio's are; min, max and deviation of the samples. */
function sideOf(result: BenchResult, { bytes, ios, latency, hasSamples }: Side): object {
  const seconds = result.runtime_ns / 1e9;
  const rate = (amount: number): number => (seconds > 0 ? amount / seconds : 0);
  const { bw_bytes: bandwidths, iops } = result.samples;
  const bw = statistics(hasSamples ? bandwidths.map((value) => value / 1024) : []);
  const io = statistics(hasSamples ? iops : []);
  const bandwidth = rate(bytes);
  return {
    io_bytes: bytes,
    io_kbytes: Math.floor(bytes / 1024),
    bw_bytes: Math.floor(bandwidth),
    bw: Math.floor(bandwidth / 1024),
    iops: rate(ios),
    runtime: ios > 0 ? Math.round(result.runtime_ns / 1e6) : 0,
    total_ios: ios,
    short_ios: 0,
    drop_ios: 0,
    slat_ns: totalLatency(null, 0),
    clat_ns: completionLatency(latency, ios),
    lat_ns: totalLatency(latency, ios),
    bw_min: Math.floor(bw.min),
    bw_max: Math.floor(bw.max),
    bw_agg: ios > 0 ? 100 : 0,
    bw_mean: bw.mean,
    bw_dev: bw.deviation,
    bw_samples: bw.count,
    iops_min: Math.floor(io.min),
    iops_max: Math.floor(io.max),
    iops_mean: io.mean,
    iops_stddev: io.deviation,
    iops_samples: io.count,
  };
}

interface Statistics {
  min: number;
  max: number;
  mean: number;
  deviation: number;
  count: number;
}

/** All 0 where there are none, as in fio's output. */
function statistics(samples: readonly number[]): Statistics {
  const values = samples.filter((value) => Number.isFinite(value));
  const count = values.length;
  if (count === 0) return { min: 0, max: 0, mean: 0, deviation: 0, count };
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const deviation = count > 1 ? Math.sqrt(squares / (count - 1)) : 0;
  return { min: Math.min(...values), max: Math.max(...values), mean, deviation, count };
}

/** `Sun Mar  1 12:00:00 2026`, local time, as ctime(3) writes it. */
function ctime(date: Date): string {
  const [weekday, month, day, year, time] = date.toString().split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
