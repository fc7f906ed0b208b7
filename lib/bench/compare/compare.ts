import { describe, identityOf, numbered, sweptOf } from "../combinations.js";
import type { BenchReport, BenchResult } from "../report.js";
import { runWarnings, settingWarnings } from "./differences.js";
import {
  compareMetric,
  CONFIDENCE,
  METRICS,
  type MetricComparison,
  type MetricName,
} from "./metric.js";

/** The version of the object below, in its field `format`. */
export const COMPARISON_FORMAT = "p2pmem-compare-1";

/** What `p2pmem compare` writes as JSON. Unknown is null. */
export interface Comparison {
  format: typeof COMPARISON_FORMAT;
  /** 0.05: a figure may be worse by 5 %. */
  tolerance: number;
  /** Of all intervals. */
  confidence: number;
  old: RunSummary;
  new: RunSummary;
  /**
   * `worse`: something is beyond the tolerance, missing, failed, or its data is not right. `unknown`:
   * nothing of it could be judged.
   */
  verdict: "worse" | "not worse" | "unknown";
  results: ResultComparison[];
  warnings: string[];
}

interface RunSummary {
  file: string;
  version: string;
  platform: string;
  started: string;
  hostname: string;
  incomplete: boolean;
}

type Identity = Pick<
  BenchResult,
  | ("job" | "rw" | "path" | "provider" | "src" | "dst")
  | ("bs" | "iodepth" | "numjobs" | "rwmixread" | "registration")
>;

/**
 * `missing` is not in the new report, `added` not in the old one. `failed`: in the new one alone;
 * `old failed`, `both failed`: whatever samples there are, there is nothing whole to compare with. `worse`
 * is beyond the tolerance, `slightly worse` beyond the noise only. `mixed`: one figure is better and another slightly worse.
 */
export type ResultVerdict =
  | ("missing" | "added" | "failed" | "old failed" | "both failed" | "wrong data")
  | ("worse" | "slightly worse" | "mixed" | "better" | "within noise" | "unknown");

export interface ResultComparison extends Identity {
  /** The combination within its job, as expectations have it: `bs=4k iodepth=8`. */
  point: string;
  verdict: ResultVerdict;
  /** Null where there is nothing to compare with. */
  metrics: Record<MetricName, MetricComparison> | null;
  /** Why it is worse, in words; empty where it is not. */
  worse: string[];
}

/**
 * Compares results that are of the same job, path, provider, endpoints and parameters. The intervals
 * say how far the samples within each run scatter; what differs from run to run they cannot see.
 */
export function compareReports(
  old: { file: string; report: BenchReport },
  now: { file: string; report: BenchReport },
  tolerance: number,
): Comparison {
  const before = keyed(old.report);
  const after = keyed(now.report);
  const results = [
    ...[...before].map(([key, entry]) => compareResult(entry, after.get(key), tolerance)),
    ...[...after]
      .filter(([key]) => !before.has(key))
      .map(([, entry]) => ({ ...about(entry, "added"), metrics: null, worse: [] })),
  ];
  return {
    format: COMPARISON_FORMAT,
    tolerance,
    confidence: CONFIDENCE,
    old: summary(old),
    new: summary(now),
    verdict: overall(results),
    results,
    warnings: [
      ...settingWarnings(
        [...before].flatMap(([key, { result }]) => {
          const other = after.get(key);
          return other === undefined ? [] : [[result, other.result]];
        }),
      ),
      ...runWarnings(old.report, now.report),
    ],
  };
}

function overall(results: readonly ResultComparison[]): Comparison["verdict"] {
  if (results.some(({ worse }) => worse.length > 0)) return "worse";
  return results.some(isJudged) ? "not worse" : "unknown";
}

/** Whether its figures say that it is better, worse, or neither. */
export function isJudged({ verdict }: ResultComparison): boolean {
  return !UNJUDGED.has(verdict);
}

const UNJUDGED: ReadonlySet<ResultVerdict> = new Set([
  ...(["unknown", "added", "old failed", "both failed"] as const),
]);

interface Entry {
  result: BenchResult;
  point: string;
}

function keyed({ results }: BenchReport): Map<string, Entry> {
  return new Map(
    numbered(results).map(({ result, occurrence }) => {
      const swept = sweptOf(results.filter(({ job }) => job === result.job));
      const point = describe(result, occurrence, swept);
      return [`${identityOf(result)} ${occurrence}`, { result, point }];
    }),
  );
}

function compareResult(
  entry: Entry,
  other: Entry | undefined,
  tolerance: number,
): ResultComparison {
  if (other === undefined)
    return { ...about(entry, "missing"), metrics: null, worse: ["there is no new result"] };
  if (other.result.failed !== null && entry.result.failed === null) {
    const { code, message } = other.result.failed;
    return { ...about(entry, "failed"), metrics: null, worse: [`it failed: ${code}: ${message}`] };
  }
  const data = verificationWorse(entry.result, other.result);
  if (entry.result.failed !== null) {
    const verdict = other.result.failed === null ? "old failed" : "both failed";
    return {
      ...about(entry, data.length > 0 ? "wrong data" : verdict),
      ...{ metrics: null, worse: data },
    };
  }
  const names = Object.keys(METRICS) as MetricName[];
  const metrics = Object.fromEntries(
    names.map((name) => [name, compareMetric(name, entry.result, other.result, tolerance)]),
  ) as Record<MetricName, MetricComparison>;
  const figures = names
    .filter((name) => metrics[name].beyond_tolerance)
    .map((name) => `${name} by more than ${percent(tolerance)}`);
  const verdict =
    data.length > 0
      ? "wrong data"
      : figures.length > 0
        ? "worse"
        : verdictOf(Object.values(metrics));
  return { ...about(entry, verdict), metrics, worse: [...data, ...figures] };
}

/** Of figures that are all within the tolerance. */
function verdictOf(metrics: readonly MetricComparison[]): ResultVerdict {
  const verdicts = new Set(metrics.map(({ verdict }) => verdict));
  if (verdicts.has("better")) return verdicts.has("worse") ? "mixed" : "better";
  if (verdicts.has("worse")) return "slightly worse";
  return verdicts.has("within noise") ? "within noise" : "unknown";
}

/** A larger share of the blocks is not as written. */
function verificationWorse({ verify: old }: BenchResult, { verify: now }: BenchResult): string[] {
  const share = (verify: BenchResult["verify"]): number =>
    verify === null || verify.mismatches === 0 ? 0 : verify.mismatches / verify.blocks;
  if (now === null || share(now) <= share(old)) return [];
  return [`${now.mismatches} of ${now.blocks} blocks not as written`];
}

function about({ result, point }: Entry, verdict: ResultVerdict) {
  const { job, rw, path, provider, src, dst } = result;
  const { bs, iodepth, numjobs, rwmixread, registration } = result;
  return {
    ...{ job, rw, path, provider, src, dst },
    ...{ bs, iodepth, numjobs, rwmixread, registration },
    ...{ point, verdict },
  };
}

function summary({ file, report }: { file: string; report: BenchReport }): RunSummary {
  const { version, platform, started, machine, incomplete } = report;
  return { file, version, platform, started, hostname: machine.hostname, incomplete };
}

/** `5 %` of 0.05. */
export function percent(part: number): string {
  return `${Number((100 * part).toPrecision(6))} %`;
}
