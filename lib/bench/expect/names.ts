import { nearest } from "../../nearest.js";
import { BENCH_PATHS, type BenchPath } from "../point.js";
import type { BenchResult, Latency } from "../report.js";
import type { NameNode } from "./expression.js";

/** The names of all numbers in a T, those of objects in it joined by dots; lists have none. */
type NumbersOf<T> = T extends readonly unknown[]
  ? never
  : {
      [Key in keyof T & string]: NonNullable<T[Key]> extends number
        ? Key
        : NonNullable<T[Key]> extends object
          ? `${Key}.${NumbersOf<NonNullable<T[Key]>>}`
          : never;
    }[keyof T & string];

/** Percentiles have names of any number of digits, and so a rule of their own. */
type LatencyField = Exclude<keyof Latency, "percentile" | "histogram">;
type Field = Exclude<NumbersOf<BenchResult>, `${string}lat_ns.${string}`>;

const LATENCY: Record<LatencyField, true> = { min: true, mean: true, stddev: true, max: true };

/** That none is missing, and none too many, the compiler sees. */
const FIELDS: Record<Field, true> = {
  ...{ bs: true, size: true, iodepth: true, numjobs: true, rwmixread: true, randseed: true },
  ...{ bytes: true, ios: true, runtime_ns: true, warm_up_ns: true, bw_bytes: true, iops: true },
  ...{ "read.ios": true, "write.ios": true },
  ...{ "cpu.usr_pct": true, "cpu.sys_pct": true },
  ...{ "cpu.busy_ns_per_block": true, "cpu.device_ns_per_block": true },
  ...{ "traffic.host_memory_bytes": true, "traffic.host_control_bytes": true },
  "traffic.root_complex_bytes": true,
  ...{ "rdma.src.port": true, "rdma.src.gid_index": true },
  ...{ "rdma.src.host_memory_bytes": true, "rdma.src.root_complex_bytes": true },
  ...{ "rdma.src.cpu.usr_pct": true, "rdma.src.cpu.sys_pct": true },
  "rdma.src.cpu.busy_ns_per_block": true,
  ...{ "rdma.dst.port": true, "rdma.dst.gid_index": true },
  ...{ "rdma.dst.host_memory_bytes": true, "rdma.dst.root_complex_bytes": true },
  ...{ "rdma.dst.cpu.usr_pct": true, "rdma.dst.cpu.sys_pct": true },
  "rdma.dst.cpu.busy_ns_per_block": true,
  ...{ "verify.blocks": true, "verify.mismatches": true, "verify.runtime_ns": true },
  limit_bw_bytes: true,
  ...{ "samples.confidence": true, "samples.drift": true },
};

const LATENCIES = ["lat_ns", "read.lat_ns", "write.lat_ns"];

/** All fields but percentiles. */
export const RESULT_FIELDS: readonly string[] = [
  ...Object.keys(FIELDS),
  ...LATENCIES.flatMap((latency) => Object.keys(LATENCY).map((name) => `${latency}.${name}`)),
];

const KNOWN = new Set(RESULT_FIELDS);
/** What a mistyped name is compared with. */
const CANDIDATES = [
  ...RESULT_FIELDS,
  ...LATENCIES.flatMap((latency) => ["50", "90", "99", "99.9"].map((p) => `${latency}.p${p}`)),
];

const PERCENTILE = /^((?:read\.|write\.)?lat_ns)\.p(\d+(?:\.\d+)?)$/;

/** A name's parts as they stand between its dots, `["lat_ns", "p99.9"]`; null where it names nothing. */
export function findName(parts: readonly string[]): NameNode | null {
  const path = BENCH_PATHS.find((candidate) => spellings(candidate).includes(parts[0] ?? ""));
  // The path cpu and the field cpu go by one name. No field of a result is one of its cpu, too.
  const own = path === undefined ? null : findField(parts.slice(1));
  if (path !== undefined && own !== null) return { kind: "name", path, field: own };
  const field = findField(parts);
  return field === null ? null : { kind: "name", path: null, field };
}

/** What may have been meant; undefined where nothing is near. */
export function suggestName(parts: readonly string[]): string | undefined {
  const paths = BENCH_PATHS.flatMap(spellings);
  const [head = "", ...rest] = parts;
  if (paths.includes(head)) {
    const field = suggestField(rest);
    return field === undefined ? undefined : `${head}.${field}`;
  }
  const path = findField(rest) === null ? undefined : nearest(head, paths);
  return path === undefined ? suggestField(parts) : [path, ...rest].join(".");
}

function suggestField(parts: readonly string[]): string | undefined {
  const name = parts.join(".");
  // Half a name is far from the whole one, but what it is the begin of is meant more likely.
  const whole = name.length < 2 ? undefined : CANDIDATES.find((field) => field.startsWith(name));
  return whole ?? nearest(name, CANDIDATES);
}

/** The number; null where it is not known, undefined where its percentile was not asked for. */
export function readField(result: BenchResult, field: string): number | null | undefined {
  // That none of no blocks is wrong says nothing of the data.
  if (field === "verify.mismatches" && result.verify?.blocks === 0) return null;
  const [, latency, percentile] = PERCENTILE.exec(field) ?? [];
  if (latency === undefined) return numberAt(result, field.split("."));
  const keys = [...latency.split("."), "percentile"];
  const percentiles = keys.reduce<unknown>(member, result);
  if (typeof percentiles !== "object" || percentiles === null) return null;
  // Whoever wrote the report may have written 99.90 for 99.9.
  const found = Object.entries(percentiles).find(([key]) => Number(key) === Number(percentile));
  return found === undefined ? undefined : known(found[1]);
}

/** `nvme_copy` stands for `nvme-copy`, as everywhere. */
function spellings(path: BenchPath): string[] {
  return path.includes("-") ? [path, path.replace("-", "_")] : [path];
}

function findField(parts: readonly string[]): string | null {
  const name = parts.join(".");
  if (KNOWN.has(name)) return name;
  const [, latency, digits] = PERCENTILE.exec(name) ?? [];
  const percentile = Number(digits);
  // One spelling for each, so that they can be compared: 99.90 is 99.9.
  return percentile > 0 && percentile <= 100 ? `${latency ?? ""}.p${percentile}` : null;
}

function numberAt(result: BenchResult, keys: readonly string[]): number | null {
  return known(keys.reduce<unknown>(member, result));
}

function member(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[key]
    : null;
}

function known(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
