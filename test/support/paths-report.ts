import type { BenchPath } from "#lib/bench/point.js";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { benchReport, benchResult, cpuOf, latencyOf } from "./bench-report.js";

const SAMPLES = 7;

interface Model {
  path: BenchPath;
  /** Bytes a second where the devices are never idle. */
  most: number;
  /** Of one block, however small, in nanoseconds. */
  delay: number;
  busy: number | null;
}

const MODELS: Model[] = [
  { path: "p2p", most: 6.62e9, delay: 78e3, busy: 235 },
  { path: "host", most: 5.48e9, delay: 81e3, busy: 262 },
  { path: "cpu", most: 3.1e9, delay: 90e3, busy: 1900 },
  { path: "nvme-copy", most: 2.2e9, delay: 120e3, busy: 140 },
  { path: "kernel-p2p", most: 6.4e9, delay: 86e3, busy: null },
  { path: "kernel-host", most: 5.2e9, delay: 88e3, busy: null },
];

/** As the built-in job `paths` has it: all paths over block sizes and depths, in turn. */
export function pathsReport(paths = MODELS.map(({ path }) => path)): BenchReport {
  const points = [4096, 65536, 131072, 1048576].flatMap((bs) =>
    [1, 8, 32].flatMap((iodepth) =>
      MODELS.filter(({ path }) => paths.includes(path)).map((model) => ({ bs, iodepth, model })),
    ),
  );
  const report = benchReport();
  const { machine } = report;
  return {
    ...report,
    incomplete: false,
    machine: {
      ...machine,
      paths: machine.paths.map((way) => ({
        ...way,
        route: way.map_type === "BUS_ADDR" ? "direct" : "root",
      })),
    },
    results: points.map(({ bs, iodepth, model }, index) =>
      modelled(bs, iodepth, model, (sample) => sample * points.length + index),
    ),
    expectations: [],
    warnings: [],
  };
}

function modelled(
  bs: number,
  iodepth: number,
  { path, most, delay, busy }: Model,
  at: (sample: number) => number,
): BenchResult {
  const alone = (bs * iodepth * 1e9) / (delay + (bs * 1e9) / most);
  const bandwidth = (alone * most) / (alone + most);
  const base = benchResult({ path, bs, iodepth, bw_bytes: bandwidth });
  // Slower towards the end, and never the same.
  const bw = Array.from(
    { length: SAMPLES },
    (_, i) => bandwidth * (1.012 - 0.004 * i + 0.009 * Math.sin(17 * at(i))),
  );
  const sorted = [...bw].sort((a, b) => a - b);
  const interval: [number, number] = [sorted[0]!, sorted[SAMPLES - 1]!];
  return {
    ...base,
    job: "paths",
    ...(path === "nvme-copy" ? { provider: null, dst: base.src } : {}),
    lat_ns: latencyOf((iodepth * bs * 1e9) / bandwidth, 1e6),
    cpu: {
      ...base.cpu,
      busy_ns_per_block: busy === null ? null : busy + bs / (path === "cpu" ? 8 : 4e5),
    },
    samples: {
      ...base.samples,
      at_s: bw.map((_, i) => 1.1 * at(i)),
      bw_bytes: bw,
      iops: bw.map((rate) => rate / bs),
      lat_mean_ns: bw.map((rate) => (iodepth * bs * 1e9) / rate),
      cpu: cpuOf(bw),
      bw_bytes_ci: interval,
      iops_ci: [interval[0] / bs, interval[1] / bs],
      drift: -0.024,
    },
  };
}
