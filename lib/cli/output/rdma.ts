import type { RdmaPerfPlan } from "../../rdma-perf/plan.js";
import type { RdmaPerfRow } from "../../rdma-perf/result.js";
import type { Platform } from "../../platform.js";
import { counted, shortSize } from "../../units.js";
import { rows, type Cell } from "./csv.js";
import { stringify } from "./json.js";
import { UNKNOWN } from "./numbers.js";

/** What `rdma write|read|send` writes. */
export interface RdmaPerfReport {
  version: string;
  platform: Platform["kind"];
  test: {
    verb: RdmaPerfPlan["verb"];
    measure: RdmaPerfPlan["measure"];
    queue_pairs: number;
    tx_depth: number;
    rx_depth: number | null;
    /** Seconds; null where iterations ended it. */
    duration: number | null;
  };
  role: "client" | "server" | "in-process";
  device: string;
  port: number;
  gid_index: number;
  /** Of the connections, bytes: may be less than was asked for. */
  mtu: number;
  /** `host`, `odp`, `dmabuf`, or a provider's name. */
  memory: string;
  results: RdmaPerfRow[];
  /** Of the server in the same process; null where it is elsewhere. */
  server_results: RdmaPerfRow[] | null;
}

export function rdmaJson(report: RdmaPerfReport): string {
  return stringify(report);
}

/** What is to be measured, for a person. */
export function testLine(
  plan: RdmaPerfPlan,
  about: Pick<RdmaPerfReport, "role" | "device" | "memory" | "mtu">,
): string {
  const { verb, measure, sizes, iterations, duration, queuePairs, txDepth } = plan;
  return [
    `RDMA ${verb} ${measure === "bw" ? "bandwidth" : "latency"}`,
    sizes.length > 1
      ? `${shortSize(sizes[0]!)} to ${shortSize(sizes.at(-1)!)}`
      : shortSize(sizes[0]!),
    duration === null ? counted(iterations!, "iteration") : `${duration} s`,
    ...(measure === "bw" ? [`depth ${txDepth} on ${counted(queuePairs, "queue pair")}`] : []),
    about.device,
    `MTU ${about.mtu}${plan.mtu !== null && about.mtu < plan.mtu ? `, not ${plan.mtu}` : ""}`,
    ...(about.memory === "host" ? [] : [`memory ${about.memory}`]),
    about.role,
  ].join(", ");
}

interface RdmaColumn {
  title: string;
  value: (row: RdmaPerfRow) => string;
}

/** For a person, in perftest's columns: the line above the results, and one for each. */
export class RdmaTable {
  readonly #columns: readonly RdmaColumn[];

  constructor({ measure, duration }: RdmaPerfPlan, inGbits: boolean) {
    if (measure === "bw") this.#columns = inGbits ? GBITS : MEBIBYTES;
    else this.#columns = duration === null ? LATENCY : LATENCY_BY_TIME;
  }

  get header(): string {
    return this.#line(({ title }) => title);
  }

  row(row: RdmaPerfRow): string {
    return this.#line(({ value }) => value(row));
  }

  /** Values may be longer than titles: two blanks still divide them. */
  #line(of: (column: RdmaColumn) => string): string {
    const cells = this.#columns.map((column) => of(column).padEnd(column.title.length));
    return ` ${cells.join("  ").trimEnd()}\n`;
  }
}

const MESSAGES: RdmaColumn[] = [
  { title: "#bytes  ", value: ({ bytes }) => String(bytes) },
  { title: "#iterations", value: ({ iterations }) => String(iterations) },
];

function bandwidth(unit: string, bytes: number, digits: number): RdmaColumn[] {
  const shown = (rate: number | null): string =>
    rate === null ? UNKNOWN : (rate / bytes).toFixed(digits);
  return [
    ...MESSAGES,
    { title: `BW peak[${unit}]`, value: (row) => shown(row.bw_peak_bytes) },
    { title: `BW average[${unit}]`, value: (row) => shown(row.bw_bytes) },
    { title: "MsgRate[Mpps]", value: (row) => (row.msg_rate / 1e6).toFixed(6) },
  ];
}

const MEBIBYTES = bandwidth("MiB/sec", 2 ** 20, 2);
const GBITS = bandwidth("Gb/sec", 1e9 / 8, 3);

function microseconds(of: (row: NonNullable<RdmaPerfRow["lat_ns"]>) => number | null) {
  return ({ lat_ns: latency }: RdmaPerfRow): string => {
    const ns = latency === null ? null : of(latency);
    return ns === null ? UNKNOWN : (ns / 1000).toFixed(2);
  };
}

const AVERAGE: RdmaColumn = { title: "t_avg[usec]", value: microseconds(({ mean }) => mean) };

const LATENCY: RdmaColumn[] = [
  ...MESSAGES,
  { title: "t_min[usec]", value: microseconds(({ min }) => min) },
  { title: "t_max[usec]", value: microseconds(({ max }) => max) },
  { title: "t_typical[usec]", value: microseconds(({ typical }) => typical) },
  AVERAGE,
  { title: "t_stdev[usec]", value: microseconds(({ stddev }) => stddev) },
  { title: "99% percentile[usec]", value: microseconds(({ percentile }) => percentile["99"]) },
  { title: "99.9% percentile[usec]", value: microseconds(({ percentile }) => percentile["99.9"]) },
];

const LATENCY_BY_TIME: RdmaColumn[] = [
  ...MESSAGES,
  AVERAGE,
  { title: "tps average", value: ({ msg_rate: rate }) => rate.toFixed(2) },
];

const CSV_COLUMNS: [string, (row: RdmaPerfRow, report: RdmaPerfReport) => Cell][] = [
  ["version", (_row, { version }) => version],
  ["platform", (_row, { platform }) => platform],
  ["verb", (_row, { test }) => test.verb],
  ["measure", (_row, { test }) => test.measure],
  ["role", (_row, { role }) => role],
  ["device", (_row, { device }) => device],
  ["memory", (_row, { memory }) => memory],
  ["queue_pairs", (_row, { test }) => test.queue_pairs],
  ["tx_depth", (_row, { test }) => test.tx_depth],
  ["mtu", (_row, { mtu }) => mtu],
  ["bytes", ({ bytes }) => bytes],
  ["iterations", ({ iterations }) => iterations],
  ["runtime_ns", (row) => row.runtime_ns],
  ["bw_peak_bytes", (row) => row.bw_peak_bytes],
  ["bw_bytes", (row) => row.bw_bytes],
  ["msg_rate", (row) => row.msg_rate],
  ["lat_ns_min", (row) => row.lat_ns?.min],
  ["lat_ns_max", (row) => row.lat_ns?.max],
  ["lat_ns_typical", (row) => row.lat_ns?.typical],
  ["lat_ns_mean", (row) => row.lat_ns?.mean],
  ["lat_ns_stddev", (row) => row.lat_ns?.stddev],
  ["lat_ns_p99", (row) => row.lat_ns?.percentile["99"]],
  ["lat_ns_p99.9", (row) => row.lat_ns?.percentile["99.9"]],
  ["verified", ({ verified }) => (verified === null ? null : String(verified))],
];

/** RFC 4180: a row for each size. */
export function rdmaCsv(report: RdmaPerfReport): string {
  return rows([
    CSV_COLUMNS.map(([name]) => name),
    ...report.results.map((row) => CSV_COLUMNS.map(([, of]) => of(row, report))),
  ]);
}
