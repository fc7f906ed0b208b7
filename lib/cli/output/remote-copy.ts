import type { RemoteCopyResult, RemoteEndResult } from "../../remote/result.js";
import { formatSize, shortSize } from "../../units.js";
import { rows, type Cell } from "./csv.js";
import { stringify } from "./json.js";
import { fixed, microseconds, ratio } from "./numbers.js";
import { table, type Column } from "./table.js";

/** What `copy` writes of a copy between machines. */
export interface RemoteCopyReport {
  version: string;
  platform: string;
  results: RemoteCopyResult[];
}

/** For a person. */
export function remoteCopyText({ results }: RemoteCopyReport): string {
  const lines = table(
    COLUMNS.filter(({ shown }) => shown === undefined || results.some(shown)),
    results,
  );
  for (const { ends, notes } of results) {
    lines.push(`source staged in ${describe(ends.src)}`);
    lines.push(`destination staged in ${describe(ends.dst)}`);
    for (const note of notes) lines.push(`note: ${note}`);
  }
  return `${lines.join("\n")}\n`;
}

function describe({ staging, reason }: RemoteEndResult): string {
  const name = staging === "host" ? "host memory" : staging;
  return reason.startsWith(name) ? reason : `${name}: ${reason}`;
}

const COLUMNS: (Column<RemoteCopyResult> & { shown?: (result: RemoteCopyResult) => boolean })[] = [
  { title: "path", align: "left", value: ({ path }) => path },
  { title: "bs", align: "right", value: ({ bs }) => shortSize(bs) },
  { title: "depth", align: "right", value: ({ iodepth }) => String(iodepth) },
  { title: "GB/s", align: "right", value: ({ bw_bytes }) => fixed(bw_bytes / 1e9, 2) },
  { title: "mean\nus", align: "right", value: ({ lat_ns }) => microseconds(lat_ns.mean) },
  {
    title: "p99\nus",
    align: "right",
    value: ({ lat_ns }) => microseconds(lat_ns.percentile["99"]),
  },
  {
    title: "src host\nB/B",
    align: "right",
    value: ({ ends, bytes }) => ratio(ends.src.traffic.host_memory_bytes, bytes),
    shown: ({ reconnects }) => reconnects === 0,
  },
  {
    title: "dst host\nB/B",
    align: "right",
    value: ({ ends, bytes }) => ratio(ends.dst.traffic.host_memory_bytes, bytes),
    shown: ({ reconnects }) => reconnects === 0,
  },
  {
    title: "again",
    align: "right",
    value: ({ reconnects }) => String(reconnects),
    shown: ({ reconnects }) => reconnects > 0,
  },
  {
    title: "resumed",
    align: "right",
    value: ({ resumed_bytes }) => formatSize(resumed_bytes),
    shown: ({ resumed_bytes }) => resumed_bytes > 0,
  },
  {
    title: "verify",
    align: "left",
    value: ({ verify }) => (verify === null ? "-" : "crc32c ok"),
  },
];

export function remoteCopyJson(report: RemoteCopyReport): string {
  return stringify(report);
}

const PERCENTILES = ["50", "90", "99", "99.9", "99.99"];

/** The JSON's names, joined where they are nested. */
const CSV_COLUMNS: [string, (result: RemoteCopyResult) => Cell][] = [
  ["path", (r) => r.path],
  ["src", (r) => r.src],
  ["dst", (r) => r.dst],
  ["bs", (r) => r.bs],
  ["iodepth", (r) => r.iodepth],
  ["bytes", (r) => r.bytes],
  ["resumed_bytes", (r) => r.resumed_bytes],
  ["reconnects", (r) => r.reconnects],
  ["runtime_ns", (r) => r.runtime_ns],
  ["bw_bytes", (r) => r.bw_bytes],
  ["lat_ns_min", (r) => r.lat_ns.min],
  ["lat_ns_mean", (r) => r.lat_ns.mean],
  ["lat_ns_max", (r) => r.lat_ns.max],
  ...PERCENTILES.map((p): [string, (result: RemoteCopyResult) => Cell] => [
    `lat_ns_p${p}`,
    (r) => r.lat_ns.percentile[p],
  ]),
  ["verify_blocks", (r) => r.verify?.blocks],
  ["verify_mismatches", (r) => r.verify?.mismatches],
  ...(["src", "dst"] as const).flatMap((end): [string, (result: RemoteCopyResult) => Cell][] => [
    [`${end}_staging`, (r) => r.ends[end].staging],
    [`${end}_reason`, (r) => r.ends[end].reason],
    [`${end}_traffic_source`, (r) => r.ends[end].traffic.source],
    [`${end}_host_memory_bytes`, (r) => r.ends[end].traffic.host_memory_bytes],
    [`${end}_root_complex_bytes`, (r) => r.ends[end].traffic.root_complex_bytes],
    [`${end}_verify_bytes`, (r) => r.ends[end].verify_bytes],
    [`${end}_cpu_busy_ns`, (r) => r.ends[end].cpu.busy_ns],
  ]),
];

export function remoteCopyCsv({ version, platform, results }: RemoteCopyReport): string {
  return rows([
    ["version", "platform", ...CSV_COLUMNS.map(([name]) => name)],
    ...results.map((result) => [version, platform, ...CSV_COLUMNS.map(([, of]) => of(result))]),
  ]);
}
