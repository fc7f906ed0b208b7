import { REPORT_FORMAT } from "#lib/bench/report.js";
import type { BenchPath } from "#lib/bench/point.js";
import type {
  BenchReport,
  BenchResult,
  Latency,
  RdmaEndReport,
  Samples,
} from "#lib/bench/report.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { machineReport, NIC } from "./bench-machine.js";

const [NVME0, NVME1, NVME2] = ["0000:19:00.0/1", "0000:1a:00.0/1", "0000:65:00.0/1"] as const;
const CARD = "0000:1b:00.0/bar2";
const CMB0 = "0000:19:00.0/cmb";
const GiB = 2 ** 30;

/** How far each of five samples lies from the median, so that intervals and drift are not 0. */
const SCATTER = [-0.012, 0.004, 0, 0.009, -0.003];

function samplesOf(bandwidth: number, bs: number, begin: number): Samples {
  const bw = SCATTER.map((part) => Math.round(bandwidth * (1 + part)));
  return {
    at_s: SCATTER.map((_, index) => begin + 2 * index),
    bw_bytes: bw,
    iops: bw.map((bytes) => bytes / bs),
    lat_mean_ns: bw.map((bytes) => Math.round((32 * bs * 1e9) / bytes)),
    cpu: cpuOf(bw),
    confidence: 0.95,
    bw_bytes_ci: [bw[0]!, bw[3]!],
    iops_ci: [bw[0]! / bs, bw[3]! / bs],
    drift: 0.006,
  };
}

/** Figures of samples of which only the number matters. */
export function cpuOf(samples: readonly unknown[]): Samples["cpu"] {
  return {
    usr_pct: samples.map(() => 90),
    sys_pct: samples.map(() => 1),
    busy_ns_per_block: samples.map(() => 150),
    device_ns_per_block: samples.map(() => null),
  };
}

/** Of `count` I/Os around `mean` nanoseconds, as p2pmem's own histogram has them. */
export function latencyOf(mean: number, count: number): Latency {
  const histogram = new Histogram();
  // Every 50th has a long tail to stand for, as latencies have one.
  for (let i = 0; i < 50; i++) histogram.record(Math.round(mean * (i < 49 ? 0.6 + i / 60 : 6)));
  const buckets: [number, number, number][] = [];
  histogram.forEachBucket((low, high, part) => buckets.push([low, high, (part * count) / 50]));
  const percents = [50, 90, 99, 99.9, 99.99, 99.999];
  return {
    min: histogram.min,
    mean: histogram.mean,
    stddev: mean / 5,
    max: histogram.max,
    percentile: Object.fromEntries(percents.map((p) => [String(p), histogram.percentile(p)])),
    histogram: buckets,
  };
}

/** A result of five samples of 2 s, at `bw_bytes` a second; all else as asked for. */
export function benchResult(changes: Partial<BenchResult> = {}): BenchResult {
  const { bs = 131072, bw_bytes: bandwidth = 6.4e9, iodepth = 32, path = "p2p" } = changes;
  const ios = 1000 * Math.round((bandwidth * 10) / bs / 1000 || 1);
  const bytes = ios * bs;
  const isPeer = path.endsWith("p2p") || path === "nvme-copy";
  return {
    job: "sweep",
    rw: "copy",
    path,
    provider: path.endsWith("host") ? null : CARD,
    src: NVME0,
    dst: NVME1,
    bs,
    size: GiB,
    iodepth,
    numjobs: 1,
    rwmixread: null,
    registration: "once",
    randseed: 1,
    bytes,
    ios,
    runtime_ns: 10e9,
    warm_up_ns: 104e6,
    bw_bytes: bandwidth,
    iops: bandwidth / bs,
    lat_ns: latencyOf((iodepth * bs * 1e9) / bandwidth, ios),
    read: null,
    write: null,
    cpu: { usr_pct: 96.4, sys_pct: 2.1, busy_ns_per_block: 212.5, device_ns_per_block: null },
    traffic: {
      source: "derived",
      host_memory_bytes: isPeer ? 0 : 2 * bytes,
      host_control_bytes: null,
      root_complex_bytes: isPeer ? 0 : 2 * bytes,
      links: [
        { link: "0000:19:00.0", bytes },
        { link: "0000:1a:00.0", bytes },
      ],
    },
    rdma: null,
    verify: null,
    in_cmb: [],
    limit_bw_bytes: null,
    samples: samplesOf(bandwidth, bs, 0.5),
    incomplete: false,
    failed: null,
    warnings: [],
    ...changes,
  };
}

/** Copies by two paths, over block sizes and depths, verified. */
function sweep(): BenchResult[] {
  const bandwidths: [number, number, number, number][] = [
    [4096, 1, 58e6, 51e6],
    [4096, 32, 1.31e9, 1.22e9],
    [131072, 1, 1.4e9, 1.1e9],
    [131072, 32, 6.41e9, 5.87e9],
  ];
  const verify = { mode: "crc32c", mismatches: 0, first: null, runtime_ns: 41e6 } as const;
  return bandwidths.flatMap(([bs, iodepth, p2p, host]) => [
    benchResult({ bs, iodepth, bw_bytes: p2p, verify: { ...verify, blocks: GiB / bs } }),
    benchResult({
      path: "host",
      bs,
      iodepth,
      bw_bytes: host,
      verify: { ...verify, blocks: GiB / bs },
    }),
  ]);
}

/** Reads of each namespace into each provider, but for one that cannot be reached. */
function reads(): BenchResult[] {
  return [NVME0, NVME1, NVME2].flatMap((src, row) =>
    [CMB0, CARD, "0000:65:00.0/pmr"].flatMap((provider, column) =>
      row === 2 && column === 0
        ? []
        : benchResult({
            ...{ job: "matrix", rw: "read", src, dst: null, provider },
            bw_bytes: (row === 2) === (column === 2) ? 6.9e9 - row * 1e8 : 3.1e9 + column * 1e8,
          }),
    ),
  );
}

/** One that did not come to its first sample. */
export function failedResult(changes: Partial<BenchResult> = {}): BenchResult {
  const nothing = { bytes: 0, ios: 0, runtime_ns: 0, bw_bytes: NaN, iops: NaN, lat_ns: null };
  const unknown = { host_memory_bytes: null, host_control_bytes: null, root_complex_bytes: null };
  return benchResult({
    ...nothing,
    cpu: { usr_pct: NaN, sys_pct: NaN, busy_ns_per_block: null, device_ns_per_block: null },
    traffic: { source: "derived", ...unknown, links: null },
    samples: {
      ...{ at_s: [], bw_bytes: [], iops: [], lat_mean_ns: [], confidence: 0.95 },
      ...{ bw_bytes_ci: null, iops_ci: null, drift: null },
      cpu: {
        ...{ usr_pct: [], sys_pct: [], busy_ns_per_block: [], device_ns_per_block: [] },
      },
    },
    failed: {
      code: "NVME_STATUS",
      message: "0000:65:00.0: Read of 256 blocks: Unrecovered Read Error",
      hint: null,
    },
    ...changes,
  });
}

/** Copies of each pair, whose providers are the closest ones; one of them fails. */
function pairs(): BenchResult[] {
  const all = [NVME0, NVME1, NVME2];
  return all.flatMap((src) =>
    all
      .filter((dst) => dst !== src)
      .map((dst) => {
        const provider = src === NVME2 ? CARD : CMB0;
        const pair = { job: "pairs", src, dst, provider, iodepth: 8 };
        return src === NVME2 && dst === NVME1
          ? failedResult(pair)
          : benchResult({ ...pair, bw_bytes: [src, dst].includes(NVME2) ? 2.95e9 : 6.3e9 });
      }),
  );
}

function mixed(): BenchResult[] {
  return (["p2p", "host"] as const).map((path) => {
    const base = benchResult({ path, bs: 4096, bw_bytes: path === "p2p" ? 3.9e9 : 3.6e9 });
    const readIos = Math.round(0.7 * base.ios);
    return {
      ...base,
      ...{ job: "mix", rw: "randrw", dst: NVME0, numjobs: 2, rwmixread: 70 },
      read: { ios: readIos, lat_ns: latencyOf(81e3, readIos) },
      write: { ios: base.ios - readIos, lat_ns: latencyOf(19e3, base.ios - readIos) },
      warnings: path === "p2p" ? [] : ["other processes took 7.2 % of the processors"],
    };
  });
}

function registrations(): BenchResult[] {
  return ([4096, 1048576] as const).flatMap((bs) =>
    (["once", "each"] as const).map((registration) =>
      benchResult({
        ...{ job: "registration", rw: "randread", dst: null, registration, bs, iodepth: 1 },
        bw_bytes: (registration === "once" ? 1.1 : 0.21) * (bs === 4096 ? 1e8 : 3e9),
      }),
    ),
  );
}

/** One end, of whose memory so many bytes were crossed for each byte. */
export function rdmaEnd(
  { bytes }: Pick<BenchResult, "bytes">,
  changes: Partial<RdmaEndReport> = {},
): RdmaEndReport {
  const over = changes.staging === "host" ? 2 * bytes : 0;
  return {
    ...{ dev: "mlx5_0", address: NIC, port: 1, gid_index: 3, staging: CARD },
    ...{ host_memory_bytes: over, root_complex_bytes: over },
    cpu: { usr_pct: 48.1, sys_pct: 0.9, busy_ns_per_block: 160.25 },
    ...changes,
  };
}

/** Copies over a wire, beside those inside the machine; of soft-RoCE little is known. */
function overRdma(): BenchResult[] {
  const paths = { p2p: 6.2e9, host: 5.6e9, "rdma-p2p": 5.9e9, "rdma-host": 4.8e9 };
  const all = Object.entries(paths).map(([path, bw_bytes]) => {
    const result = benchResult({ job: "wire", path: path as BenchPath, bw_bytes });
    if (!path.startsWith("rdma-")) return result;
    const { traffic, provider: staging } = result;
    const end = rdmaEnd(result, { staging: staging ?? "host" });
    const over = 2 * end.host_memory_bytes!;
    return {
      ...result,
      traffic: { ...traffic, host_memory_bytes: over, root_complex_bytes: over },
      rdma: { src: end, dst: { ...end, port: 2 } },
    };
  });
  const soft = benchResult({ job: "wire", path: "rdma-host", bs: 4096, bw_bytes: 0.3e9 });
  const unknown = { host_memory_bytes: null, root_complex_bytes: null };
  const end = rdmaEnd(soft, { dev: "rxe0", address: null, staging: "host", ...unknown });
  const traffic = { ...soft.traffic, ...unknown, links: null };
  return [...all, { ...soft, traffic, rdma: { src: end, dst: end } }];
}

/** Much that is not known, one run that was interrupted, and a name that wants to be quoted. */
function kernel(): BenchResult[] {
  const src = 'file:/mnt/a,b "c".img@0+1073741824';
  const cpu = { usr_pct: 4.2, sys_pct: 31.5, busy_ns_per_block: null, device_ns_per_block: null };
  const mismatch = { blocks: 8192, mismatches: 3, runtime_ns: 3e9 };
  const first = "block 17 holds block 16 of this run: swapped";
  const whole = benchResult({ path: "kernel-p2p", iodepth: 8, bw_bytes: 2.2e9 });
  const cut = benchResult({ path: "kernel-host", iodepth: 8, bw_bytes: 2.6e9, provider: null });
  return [
    {
      ...whole,
      ...{ job: "kernel", src, dst: "/dev/nvme1n1", cpu },
      verify: { mode: "pattern", first, ...mismatch },
      traffic: { ...whole.traffic, root_complex_bytes: null, links: null },
    },
    {
      ...cut,
      ...{ job: "kernel", src, dst: "/dev/nvme1n1", cpu, lat_ns: null, incomplete: true },
      samples: {
        ...{ at_s: [31.5], bw_bytes: [2.6e9], iops: [19836.4], lat_mean_ns: [NaN] },
        cpu: cpuOf([0]),
        ...{ confidence: 0.95, bw_bytes_ci: null, iops_ci: null, drift: null },
      },
    },
  ];
}

/** A run on a server, with some of all that a report can hold; it was interrupted. */
export function benchReport(): BenchReport {
  const expectation = { job: "sweep", expression: "p2p.bw_bytes / host.bw_bytes >= 1.1" };
  return {
    format: REPORT_FORMAT,
    version: "1.2.3",
    platform: "vfio",
    started: "2026-03-01T12:00:00.000Z",
    command: ["p2pmem", "bench", "my lab.yaml", "--allow-write", "--samples", "5"],
    incomplete: true,
    machine: machineReport(),
    results: [
      ...sweep(),
      ...reads(),
      ...pairs(),
      ...mixed(),
      ...registrations(),
      ...overRdma(),
      ...kernel(),
    ],
    expectations: [
      { ...expectation, point: "bs=4k iodepth=1", outcome: "pass", detail: "1.137 >= 1.1" },
      { ...expectation, point: "bs=4k iodepth=32", outcome: "fail", detail: "1.074 >= 1.1" },
      {
        job: "kernel",
        expression: "kernel_p2p.traffic.root_complex_bytes == 0",
        point: "bs=128k iodepth=8",
        outcome: "error",
        detail: "traffic.root_complex_bytes of kernel-p2p is not known",
      },
    ],
    warnings: [
      "interrupted: kernel has 1 of 5 samples of its last point",
      "the governor is powersave: clocks may change between samples",
    ],
  };
}
