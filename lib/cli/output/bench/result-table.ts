import type { createColors } from "picocolors";
import type { BenchResult, Latency } from "../../../bench/report.js";
import { isKnown } from "../../../report/quantities.js";
import { shortSize } from "../../../units.js";
import { fixed, gigabytes, microseconds, ratio, thousands, UNKNOWN } from "../numbers.js";
import { table, type Column } from "../table.js";
import { WIDTH } from "../text.js";
import { ShortNames } from "./short-names.js";

export type Colors = ReturnType<typeof createColors>;

/** Of results of one job: what may go, first the last, where a table gets too wide. */
const LEAST_IMPORTANT = [
  ...["root", "limit", "sides", "mean", "cpu", "host", "ci", "tail", "iops", "verify"],
];

interface ResultColumn extends Column<BenchResult> {
  name: string;
}

/**
 * Lines of a table of no more than 100 columns, a row for each result, and below what its short names
 * stand for. Columns that say nothing are left out; `lost` names those which found no room.
 */
export function resultTable(
  results: readonly BenchResult[],
  colors: Colors,
  withEndpoints: boolean,
): { lines: string[]; lost: string[] } {
  const names = new ShortNames();
  const columns = columnsOf(results, names, colors).filter(
    ({ name }) => withEndpoints || (name !== "src" && name !== "dst"),
  );
  const lost: string[] = [];
  for (const name of [null, ...LEAST_IMPORTANT]) {
    const index = columns.findIndex((column) => column.name === name);
    if (index >= 0) lost.push(columns.splice(index, 1)[0]!.title.replaceAll("\n", " "));
    const plain = columns.map(({ title, align, value }) => ({ title, align, value }));
    if (table(plain, results).every(({ length }) => length <= WIDTH)) break;
  }
  return { lines: [...table(columns, results), ...names.legend("")], lost };
}

function columnsOf(
  results: readonly BenchResult[],
  names: ShortNames,
  { red, yellow }: Colors,
): ResultColumn[] {
  const some = (test: (result: BenchResult) => boolean): boolean => results.some(test);
  const varies = (field: keyof BenchResult): boolean =>
    new Set(results.map((result) => result[field])).size > 1;
  const left = (name: string, value: (r: BenchResult) => string): ResultColumn => ({
    ...{ name, title: name, align: "left", value },
  });
  const right = (name: string, title: string, value: (r: BenchResult) => string): ResultColumn => ({
    name,
    title,
    align: "right",
    value,
  });
  const known = (name: string | null): string => (name === null ? "-" : names.of(name));
  const isMixed = some(({ read, write }) => read !== null || write !== null);
  const columns: [shown: boolean, ResultColumn][] = [
    [varies("rw"), left("rw", ({ rw }) => rw)],
    [true, left("path", ({ path }) => path)],
    [some(({ provider }) => provider !== null), left("provider", (r) => known(r.provider))],
    [varies("src"), left("src", ({ src }) => known(src))],
    [varies("dst"), left("dst", ({ dst }) => known(dst))],
    [varies("registration"), { ...left("registration", (r) => r.registration), title: "mapped" }],
    [true, right("bs", "bs", ({ bs }) => shortSize(bs))],
    [true, right("iodepth", "depth", ({ iodepth }) => String(iodepth))],
    [some((r) => r.numjobs !== 1), right("numjobs", "jobs", (r) => String(r.numjobs))],
    [varies("rwmixread"), right("rwmixread", "% of\nreads", (r) => String(r.rwmixread ?? "-"))],
    [true, right("bw", "GB/s", ({ bw_bytes }) => gigabytes(bw_bytes))],
    [some((r) => r.samples.bw_bytes_ci !== null), right("ci", "±%", halfInterval)],
    [true, right("iops", "IOPS", ({ iops }) => thousands(iops))],
    ...latencyColumns(results, isMixed).map((column): [boolean, ResultColumn] => [true, column]),
    [
      some(({ cpu }) => cpu.busy_ns_per_block === null),
      right("cpu", "CPU\n%", ({ cpu }) => fixed(cpu.usr_pct + cpu.sys_pct, 0)),
    ],
    [
      some(({ cpu }) => cpu.busy_ns_per_block !== null),
      right("cpu", "CPU ns\n/block", ({ cpu }) => fixed(cpu.busy_ns_per_block, 0)),
    ],
    [true, right("host", "host\nB/B", (r) => ratio(r.traffic.host_memory_bytes, r.bytes))],
    [some(({ rdma }) => rdma !== null), right("sides", "host B/B\nsrc+dst", sidesWord)],
    [true, right("root", "root\nB/B", (r) => ratio(r.traffic.root_complex_bytes, r.bytes))],
    [
      some((r) => r.limit_bw_bytes !== null),
      right("limit", "% of\nlimit", ({ bw_bytes: bandwidth, limit_bw_bytes: limit }) =>
        limit === null ? UNKNOWN : fixed((100 * bandwidth) / limit, 0),
      ),
    ],
    [
      some(({ verify }) => verify !== null),
      {
        ...left("verify", ({ verify }) => verifyWord(verify)),
        paint: (text, { verify }) => ((verify?.mismatches ?? 0) > 0 ? red(text) : text),
      },
    ],
    [
      some((r) => r.incomplete || r.failed !== null),
      {
        ...left("run", (r) => (r.failed !== null ? "failed" : r.incomplete ? "cut" : "whole")),
        paint: (text, r) => (r.failed !== null ? red(text) : r.incomplete ? yellow(text) : text),
      },
    ],
  ];
  return columns.filter(([shown]) => shown).map(([, column]) => column);
}

/** Mean, and the percentile that all look for, else the highest there is; of a mix for each part. */
function latencyColumns(results: readonly BenchResult[], isMixed: boolean): ResultColumn[] {
  const tails = new Set(results.flatMap((r) => Object.keys(r.lat_ns?.percentile ?? {})));
  const tail = tails.has("99") ? "99" : [...tails].sort((a, b) => Number(b) - Number(a))[0];
  const us = (
    name: string,
    title: string,
    of: (result: BenchResult) => number | undefined,
  ): ResultColumn => ({ name, title, align: "right", value: (r) => microseconds(of(r)) });
  const of = (latency: Latency | null | undefined): number | undefined =>
    latency?.percentile[tail ?? ""];
  return [
    us("mean", "mean\nus", (r) => r.lat_ns?.mean),
    ...(tail === undefined
      ? []
      : isMixed
        ? [
            us("tail", `read\np${tail} us`, (r) => of(r.read?.lat_ns)),
            us("tail", `write\np${tail} us`, (r) => of(r.write?.lat_ns)),
          ]
        : [us("tail", `p${tail}\nus`, (r) => of(r.lat_ns))]),
  ];
}

/** What the whole's host memory bytes are made of, over RDMA. */
function sidesWord({ rdma, bytes }: BenchResult): string {
  if (rdma === null) return "-";
  return [rdma.src, rdma.dst].map((end) => ratio(end.host_memory_bytes, bytes)).join("+");
}

function verifyWord(verify: BenchResult["verify"]): string {
  if (verify === null) return "-";
  // No block is no proof of anything.
  if (verify.blocks === 0) return "nothing";
  return verify.mismatches === 0 ? "ok" : `${verify.mismatches} bad`;
}

/** Half of the interval's width, of the median. */
function halfInterval({ bw_bytes: median, samples }: BenchResult): string {
  if (samples.bw_bytes_ci === null || !isKnown(median)) return UNKNOWN;
  const [low, high] = samples.bw_bytes_ci;
  return fixed((50 * (high - low)) / median, 1);
}
