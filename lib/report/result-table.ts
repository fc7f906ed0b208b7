import type { BenchResult, RdmaEndReport } from "../bench/report.js";
import { shortSize } from "../units.js";
import { shortName } from "./addresses.js";
import { dataTable, type Column } from "./data-table.js";
import { distinct, type Group } from "./groups.js";
import type { Content, Markup } from "./markup.js";
import {
  bandwidth,
  change,
  count,
  digits,
  ioRate,
  percent,
  quotient,
  time,
  UNKNOWN,
} from "./quantities.js";
import { pairWords } from "./words.js";

/** All figures of a job's results, in the order in which they were measured. */
export function resultTable({ job, results }: Group): Markup {
  const percentiles = percentilesOf(results).map((name): Column<BenchResult> =>
    number(`p${name}`, ({ lat_ns: latency }) => time(latency?.percentile[name] ?? null)),
  );
  return dataTable(`All figures of ${job}`, [...POINT, ...RATES, ...percentiles, ...REST], results);
}

/** Those that any result has, from the least. */
export function percentilesOf(results: readonly BenchResult[]): string[] {
  const names = results.flatMap(({ lat_ns }) => Object.keys(lat_ns?.percentile ?? {}));
  return distinct(names).sort((a, b) => Number(a) - Number(b));
}

function number(title: string, value: (result: BenchResult) => Content): Column<BenchResult> {
  return { title, align: "right", value };
}

function text(title: string, value: (result: BenchResult) => Content): Column<BenchResult> {
  return { title, align: "left", value };
}

const POINT: Column<BenchResult>[] = [
  text("path", ({ path }) => path),
  text("workload", ({ rw }) => rw),
  text("from → to", pairWords),
  {
    ...text("provider", ({ provider }) => (provider === null ? "—" : shortName(provider))),
    shown: ({ provider }) => provider !== null,
  },
  {
    ...text("mapped", ({ registration }) => (registration === "once" ? "once" : "each I/O")),
    shown: ({ registration }) => registration !== "once",
  },
  number("bs", ({ bs }) => shortSize(bs)),
  number("depth", ({ iodepth }) => iodepth),
  { ...number("jobs", ({ numjobs }) => numjobs), shown: ({ numjobs }) => numjobs !== 1 },
  {
    ...number("reads", ({ rwmixread }) => (rwmixread === null ? "—" : `${rwmixread} %`)),
    shown: ({ rwmixread }) => rwmixread !== null,
  },
];

const RATES: Column<BenchResult>[] = [
  number("bandwidth", ({ bw_bytes }) => bandwidth(bw_bytes)),
  number("interval", ({ samples }) => intervalOf(samples.bw_bytes_ci, bandwidth)),
  number("IOPS", ({ iops }) => ioRate(iops)),
  number("interval", ({ samples }) => intervalOf(samples.iops_ci, ioRate)),
  number("samples", ({ samples }) => samples.bw_bytes.length),
  number("drift", ({ samples }) => change(samples.drift)),
  {
    ...number("of the limit", ({ bw_bytes, limit_bw_bytes: limit }) => {
      const part = quotient(bw_bytes, limit);
      return part === null ? UNKNOWN : percent(100 * part);
    }),
    shown: ({ limit_bw_bytes: limit }) => limit !== null,
  },
  number("latency mean", ({ lat_ns }) => time(lat_ns?.mean ?? null)),
];

const REST: Column<BenchResult>[] = [
  number("max", ({ lat_ns }) => time(lat_ns?.max ?? null)),
  ...(["read", "write"] as const).map((part) => ({
    ...number(`${part}s, mean`, (result) => {
      const own = result[part];
      return own === null ? "—" : `${count(own.ios)}, ${time(own.lat_ns?.mean ?? null)}`;
    }),
    shown: (result: BenchResult) => result[part] !== null,
  })),
  number("CPU user", ({ cpu }) => percent(cpu.usr_pct)),
  number("CPU system", ({ cpu }) => percent(cpu.sys_pct)),
  number("driver a block", ({ cpu }) => time(cpu.busy_ns_per_block)),
  {
    ...number("device threads a block", ({ cpu }) => time(cpu.device_ns_per_block)),
    shown: ({ cpu }) => cpu.device_ns_per_block !== null,
  },
  number("host memory B/B", ({ traffic, bytes }) => perByte(traffic.host_memory_bytes, bytes)),
  ...(["src", "dst"] as const).map((side) => ({
    ...number(`of it at ${side}, derived`, ({ rdma, bytes }) =>
      rdma === null ? "—" : perByte(rdma[side].host_memory_bytes, bytes),
    ),
    shown: ({ rdma }: BenchResult) => rdma !== null,
  })),
  number("control B/B", ({ traffic, bytes }) => perByte(traffic.host_control_bytes, bytes)),
  number("root complex B/B", ({ traffic, bytes }) => perByte(traffic.root_complex_bytes, bytes)),
  text("traffic", ({ traffic }) => traffic.source),
  {
    ...text("over RDMA", ({ rdma }) =>
      rdma === null ? "—" : [rdma.src, rdma.dst].map(rdmaPort).join(" → "),
    ),
    shown: ({ rdma }) => rdma !== null,
  },
  {
    ...text("in a CMB", ({ in_cmb: parts }) => (parts.length === 0 ? "—" : parts.join(", "))),
    shown: ({ in_cmb: parts }) => parts.length > 0,
  },
  {
    ...text("state", ({ incomplete, failed }) =>
      failed !== null ? `failed: ${failed.code}` : incomplete ? "incomplete" : "complete",
    ),
    shown: ({ incomplete, failed }) => incomplete || failed !== null,
  },
];

function intervalOf(
  interval: readonly [number, number] | null,
  words: (value: number) => string,
): string {
  return interval === null ? UNKNOWN : `${words(interval[0])} – ${words(interval[1])}`;
}

/** `mlx5_0 port 1` */
function rdmaPort({ dev, port }: RdmaEndReport): string {
  return `${dev} port ${port}`;
}

function perByte(bytes: number | null, of: number): string {
  return digits(quotient(bytes, of));
}
