import type { P2pError } from "../../errors.js";
import { isMixed } from "../../perf/plan.js";
import { Histogram } from "../../reactor/histogram.js";
import { median } from "../../stats/median.js";
import type { BenchPoint } from "../point.js";
import type { BenchResult, CpuFigures, RdmaEndReport, VerifyResult } from "../report.js";
import { latencyOf } from "./latency.js";
import type { Sample, SampleEnd, SampleRunner } from "./sample.js";
import { sampleWarnings } from "./warnings.js";
import { samplesOf, type SampleFigures } from "./samples.js";

/** What is said of a result beside its samples. */
interface ResultFacts {
  endpoints: SampleRunner["endpoints"];
  limit: number | null;
  /** What ran before the samples took. */
  warmUpNs: number;
  verify: VerifyResult | null;
  /** Samples that were verified. */
  verified: number;
  /** What ended it; null: nothing did. */
  failed: P2pError | null;
  /** Noise while it ran; what the samples themselves say is added to it. */
  warnings: readonly string[];
  /** With the buckets of latencies. */
  histograms: boolean;
}

/** Of what has no sample, nothing was counted. */
const UNKNOWN_TRAFFIC: BenchResult["traffic"] = {
  source: "derived",
  host_memory_bytes: null,
  host_control_bytes: null,
  root_complex_bytes: null,
  links: null,
};

/** A point's samples, put together one by one: only their figures are kept, and one histogram. */
export class Tally {
  readonly point: BenchPoint;
  readonly figures: SampleFigures[] = [];
  #bytes = 0;
  #ios = 0;
  #runtimeNs = 0;
  readonly #latency = new Histogram();
  readonly #parts: { reads: Histogram; writes: Histogram } | null;
  #cpu: Sample["cpu"] = { userNs: 0, systemNs: 0, busyNs: 0, deviceNs: 0 };
  #traffic: Sample["traffic"] | null = null;
  #ends: Sample["ends"] = null;
  #last: Sample | null = null;
  readonly #notes = new Set<string>();

  constructor(point: BenchPoint) {
    this.point = point;
    const { rw } = point;
    this.#parts =
      rw !== "copy" && isMixed(rw) ? { reads: new Histogram(), writes: new Histogram() } : null;
  }

  /** `at`: when the sample began, in seconds since the report did. */
  add(sample: Sample, at: number): void {
    const seconds = sample.runtimeNs / 1e9;
    this.figures.push({
      at,
      bandwidth: sample.bytes / seconds,
      iops: sample.ios / seconds,
      latency: sample.latency.mean,
      cpu: cpuOf(sample),
    });
    this.#bytes += sample.bytes;
    this.#ios += sample.ios;
    this.#runtimeNs += sample.runtimeNs;
    this.#latency.merge(sample.latency);
    if (sample.reads) this.#parts?.reads.merge(sample.reads);
    if (sample.writes) this.#parts?.writes.merge(sample.writes);
    this.#cpu = {
      ...addCpu(this.#cpu, sample.cpu),
      deviceNs: plus(this.#cpu.deviceNs, sample.cpu.deviceNs),
    };
    this.#traffic = addTraffic(this.#traffic, sample.traffic);
    this.#ends = addEnds(this.#ends, sample.ends);
    this.#last = sample;
    for (const note of sample.notes) this.#notes.add(note);
  }

  /** Null where there is no sample, and nothing failed. */
  result(facts: ResultFacts): BenchResult | null {
    const { point } = this;
    const { failed } = facts;
    if (this.#last === null && failed === null) return null;
    const samples = samplesOf(this.figures);
    const latency = (histogram: Histogram): BenchResult["lat_ns"] =>
      latencyOf(histogram, point.percentiles, facts.histograms);
    const part = (histogram: Histogram | undefined): BenchResult["read"] =>
      histogram === undefined ? null : { ios: histogram.count, lat_ns: latency(histogram) };
    return {
      job: point.job,
      rw: point.rw,
      path: point.path,
      provider: point.provider,
      ...facts.endpoints,
      bs: point.bs,
      size: this.#last?.size ?? null,
      iodepth: point.iodepth,
      numjobs: point.numjobs,
      rwmixread: this.#parts === null ? null : point.rwmixread,
      registration: point.registration,
      randseed: point.randseed,
      bytes: this.#bytes,
      ios: this.#ios,
      runtime_ns: this.#runtimeNs,
      warm_up_ns: facts.warmUpNs,
      bw_bytes: median(samples.bw_bytes),
      iops: median(samples.iops),
      lat_ns: latency(this.#latency),
      read: part(this.#parts?.reads),
      write: part(this.#parts?.writes),
      cpu: cpuOf({ cpu: this.#cpu, ios: this.#ios, runtimeNs: this.#runtimeNs }),
      traffic: this.#traffic ?? UNKNOWN_TRAFFIC,
      rdma: this.#rdma(),
      verify: facts.verify,
      in_cmb: [...(this.#last?.inCmb ?? [])],
      limit_bw_bytes: facts.limit,
      samples,
      incomplete:
        failed === null &&
        (this.figures.length < point.samples ||
          (point.verify !== null && facts.verified < point.samples)),
      failed: failed && { code: failed.code, message: failed.message, hint: failed.hint ?? null },
      warnings: [...this.#notes, ...facts.warnings, ...sampleWarnings(samples)],
    };
  }

  #rdma(): BenchResult["rdma"] {
    if (this.#ends === null) return null;
    const run = { ios: this.#ios, runtimeNs: this.#runtimeNs };
    const [src, dst] = this.#ends;
    return { src: endReport(src, run), dst: endReport(dst, run) };
  }
}

type Run = Pick<Sample, "ios" | "runtimeNs">;

function cpuOf({ cpu, ...run }: Run & Pick<Sample, "cpu">): CpuFigures {
  return { ...threadsOf(cpu, run), device_ns_per_block: forEach(cpu.deviceNs, run) };
}

function threadsOf(cpu: SampleEnd["cpu"], run: Run): RdmaEndReport["cpu"] {
  return {
    usr_pct: (100 * cpu.userNs) / run.runtimeNs,
    sys_pct: (100 * cpu.systemNs) / run.runtimeNs,
    busy_ns_per_block: forEach(cpu.busyNs, run),
  };
}

function endReport(end: SampleEnd, run: Run): RdmaEndReport {
  return {
    ...{ dev: end.dev, address: end.address, port: end.port, gid_index: end.gidIndex },
    staging: end.staging,
    host_memory_bytes: end.hostMemoryBytes,
    root_complex_bytes: end.rootComplexBytes,
    cpu: threadsOf(end.cpu, run),
  };
}

function forEach(ns: number | null, { ios }: Run): number | null {
  return ns === null || ios === 0 ? null : ns / ios;
}

function addCpu(sum: SampleEnd["cpu"], more: SampleEnd["cpu"]): SampleEnd["cpu"] {
  return {
    userNs: sum.userNs + more.userNs,
    systemNs: sum.systemNs + more.systemNs,
    busyNs: plus(sum.busyNs, more.busyNs),
  };
}

function addEnds(sum: Sample["ends"], more: Sample["ends"]): Sample["ends"] {
  if (sum === null || more === null) return more;
  return [addEnd(sum[0], more[0]), addEnd(sum[1], more[1])];
}

function addEnd(sum: SampleEnd, more: SampleEnd): SampleEnd {
  return {
    ...more,
    hostMemoryBytes: plus(sum.hostMemoryBytes, more.hostMemoryBytes),
    rootComplexBytes: plus(sum.rootComplexBytes, more.rootComplexBytes),
    cpu: addCpu(sum.cpu, more.cpu),
  };
}

/** Unknown if one of them is. */
function plus(a: number | null, b: number | null): number | null {
  return a === null || b === null ? null : a + b;
}

export function addTraffic(
  sum: Sample["traffic"] | null,
  more: Sample["traffic"],
): Sample["traffic"] {
  if (sum === null) return more;
  return {
    source: sum.source,
    host_memory_bytes: plus(sum.host_memory_bytes, more.host_memory_bytes),
    host_control_bytes: plus(sum.host_control_bytes, more.host_control_bytes),
    root_complex_bytes: plus(sum.root_complex_bytes, more.root_complex_bytes),
    links: addLinks(sum.links, more.links),
  };
}

function addLinks(
  sum: Sample["traffic"]["links"],
  more: Sample["traffic"]["links"],
): Sample["traffic"]["links"] {
  if (sum === null || more === null) return null;
  const bytes = new Map(sum.map((each) => [each.link, each.bytes]));
  for (const each of more) bytes.set(each.link, (bytes.get(each.link) ?? 0) + each.bytes);
  return [...bytes].map(([link, count]) => ({ link, bytes: count }));
}
