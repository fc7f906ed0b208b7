import { formatEndpoint } from "../../io/endpoint.js";
import { readPercentOf, type PerfPlan } from "../../perf/plan.js";
import { PERF_PERCENTILES, type PerfResult, type PerfRow } from "../../perf/result.js";
import type { Platform } from "../../platform.js";
import { counted, shortSize } from "../../units.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";
import { lines } from "./normal.js";
import { table, type Column } from "./table.js";

/** What `perf` writes. */
export interface PerfReport extends PerfResult {
  version: string;
  platform: Platform["kind"];
}

export function perfJson(report: PerfReport): string {
  return stringify(report);
}

/** What is to be measured, for a person. */
export function workloadLine(plan: PerfPlan): string {
  const { targets, pattern, ioSize, depth, queuePairs, runtime, interrupts } = plan;
  const { cpus = [], loops = 1, rateIops = null, provider = null } = plan;
  const reads = readPercentOf(plan);
  return [
    `${pattern}${reads > 0 && reads < 100 ? ` (${reads} % reads)` : ""} of ${shortSize(ioSize)}`,
    `depth ${depth} on ${counted(queuePairs, "queue pair")}`,
    runtime === null ? counted(loops, "loop") : `${runtime} s`,
    ...(rateIops === null ? [] : [`at most ${rateIops} a second`]),
    ...(provider === null ? [] : [`memory of ${provider.name}`]),
    ...(interrupts === true ? ["by interrupts"] : []),
    ...(plan.sqInCmb === true ? ["submission queues in CMBs"] : []),
    ...(cpus.length === 0 ? [] : [`from ${counted(cpus.length, "core")}`]),
    targets.map(formatEndpoint).join(" "),
  ].join(", ");
}

/** For a person: the table as SPDK's perf has it, and with `latency` the percentiles. */
export function perfText(report: PerfReport, latency: boolean): string {
  const { results, total, threads, notes } = report;
  const all = results.length > 1 ? [...results, total] : results;
  return lines([
    ...table(COLUMNS, all),
    "",
    ...threads.map(
      ({ cpu, usr_pct, sys_pct, busy_pct, busy_ns_per_io }) =>
        `CPU${cpu === null ? "" : ` ${cpu}`}: ${usr_pct.toFixed(1)} % user, ` +
        `${sys_pct.toFixed(1)} % system; with I/Os ${busy_pct.toFixed(1)} % of the time, ` +
        `${busy_ns_per_io.toFixed(0)} ns each`,
    ),
    ...notes.map((note) => `Note: ${note}`),
    ...(latency ? all.flatMap(percentileLines) : []),
    ...all.flatMap(histogramLines),
  ]);
}

const COLUMNS: Column<PerfRow>[] = [
  { title: "\nnamespace", align: "left", value: nameOf },
  { title: "\nIOPS", align: "right", value: ({ iops }) => iops.toFixed(2) },
  { title: "\nMiB/s", align: "right", value: ({ bw_bytes }) => (bw_bytes / 2 ** 20).toFixed(2) },
  {
    title: "latency (us)\naverage",
    align: "right",
    value: ({ lat_ns }) => microseconds(lat_ns?.mean, 2),
  },
  { title: "\nmin", align: "right", value: ({ lat_ns }) => microseconds(lat_ns?.min, 2) },
  { title: "\nmax", align: "right", value: ({ lat_ns }) => microseconds(lat_ns?.max, 2) },
];

function nameOf({ target, cpu }: PerfRow): string {
  return `${target ?? "total"}${cpu === null ? "" : ` from core ${cpu}`}`;
}

function percentileLines(row: PerfRow): string[] {
  return [
    "",
    `Latency of ${nameOf(row)}:`,
    ...PERF_PERCENTILES.map(
      (p) =>
        `${p.toFixed(5).padStart(10)}% :${microseconds(row.lat_ns?.percentile[p], 3).padStart(12)} us`,
    ),
  ];
}

function histogramLines(row: PerfRow): string[] {
  if (row.histogram === undefined) return [];
  let sum = 0;
  return [
    "",
    `Histogram of ${nameOf(row)}:`,
    "          range in us   cumulative        I/Os",
    ...row.histogram.map(([lowest, highest, count]) => {
      sum += count;
      const range = `${microseconds(lowest, 3).padStart(10)} -${microseconds(highest, 3).padStart(11)}`;
      const part = ((100 * sum) / row.ios).toFixed(4);
      return `${range}:${part.padStart(10)}%${String(count).padStart(12)}`;
    }),
  ];
}

function microseconds(ns: number | undefined, digits: number): string {
  return ns === undefined ? "?" : (ns / 1000).toFixed(digits);
}

type Cell = string | number | null | undefined;

const CSV_COLUMNS: [string, (row: PerfRow, report: PerfReport) => Cell][] = [
  ["version", (_row, { version }) => version],
  ["platform", (_row, { platform }) => platform],
  ["pattern", (_row, { workload }) => workload.pattern],
  ["read_pct", (_row, { workload }) => workload.read_pct],
  ["io_bytes", (_row, { workload }) => workload.io_bytes],
  ["depth", (_row, { workload }) => workload.depth],
  ["queue_pairs", (_row, { workload }) => workload.queue_pairs],
  ["interrupts", (_row, { workload }) => String(workload.interrupts)],
  ["sq_in_cmb", (_row, { workload }) => String(workload.sq_in_cmb)],
  ["target", ({ target }) => target ?? "total"],
  ["cpu", ({ cpu }) => cpu],
  ["descriptors", ({ descriptors }) => descriptors],
  ["runtime_ns", (row) => row.runtime_ns],
  ["ios", ({ ios }) => ios],
  ["bytes", ({ bytes }) => bytes],
  ["iops", ({ iops }) => iops],
  ["bw_bytes", (row) => row.bw_bytes],
  ["lat_ns_min", (row) => row.lat_ns?.min],
  ["lat_ns_mean", (row) => row.lat_ns?.mean],
  ["lat_ns_max", (row) => row.lat_ns?.max],
  ...PERF_PERCENTILES.map((p): [string, (row: PerfRow) => Cell] => [
    `lat_ns_p${p}`,
    (row) => row.lat_ns?.percentile[p],
  ]),
  ["read_ios", ({ read }) => read.ios],
  ["read_lat_ns_mean", ({ read }) => read.lat_ns?.mean],
  ["write_ios", ({ write }) => write.ios],
  ["write_lat_ns_mean", ({ write }) => write.lat_ns?.mean],
  ["provider", (_row, { workload }) => workload.provider],
];

/** RFC 4180: a row for each namespace and core, and one for all of them. */
export function perfCsv(report: PerfReport): string {
  return rows([
    CSV_COLUMNS.map(([name]) => name),
    ...[...report.results, report.total].map((row) => CSV_COLUMNS.map(([, of]) => of(row, report))),
  ]);
}
