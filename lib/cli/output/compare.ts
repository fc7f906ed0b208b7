import {
  isJudged,
  percent,
  type Comparison,
  type ResultComparison,
  type ResultVerdict,
} from "../../bench/compare/compare.js";
import { METRICS, type MetricComparison, type MetricName } from "../../bench/compare/metric.js";
import { isKnown } from "../../report/quantities.js";
import { counted, shortSize } from "../../units.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";
import { lines } from "./normal.js";
import { fixed, UNKNOWN } from "./numbers.js";
import { table, type Column } from "./table.js";
import { WIDTH, wrapWords } from "./text.js";

const NAMES = Object.keys(METRICS) as MetricName[];

export function compareJson(comparison: Comparison): string {
  return stringify(comparison);
}

/** One row for each result; unknown is an empty cell. */
export function compareCsv({ results }: Comparison): string {
  const identity = [
    ...(["job", "rw", "path", "provider", "src", "dst", "bs", "iodepth", "numjobs"] as const),
    ...(["rwmixread", "registration", "point", "verdict"] as const),
  ];
  const figures = ["old", "new", "ratio", "ratio_low", "ratio_high", "verdict"];
  return rows([
    [
      ...identity,
      ...NAMES.flatMap((name) => figures.map((figure) => `${name}_${figure}`)),
      "worse",
    ],
    ...results.map((result) => [
      ...identity.map((name) => result[name]),
      ...NAMES.flatMap((name) => {
        const metric = result.metrics?.[name];
        const [low, high] = metric?.ratio_ci ?? [];
        return [metric?.old, metric?.new, metric?.ratio, low, high, metric?.verdict];
      }),
      result.worse.join("; "),
    ]),
  ]);
}

/** For a person: at most 100 columns wide, a table for each job and what of it is not in the rows. */
export function compareText(comparison: Comparison): string {
  const { old, new: now, results, warnings, tolerance, confidence } = comparison;
  const headings = new Set(results.map((result) => headingOf(result, results)));
  const run = (name: string, { file, version, platform, started }: typeof old): string[] =>
    wrapWords(`${file}: p2pmem ${version}, ${platform}, ${started}`, `${name}  `, "     ");
  return lines([
    ...run("old", old),
    ...run("new", now),
    ...[...headings].flatMap((heading) => [
      "",
      ...wrapWords(heading, "", "  "),
      ...resultLines(results.filter((result) => headingOf(result, results) === heading)),
    ]),
    "",
    ...warnings.flatMap((warning) => wrapWords(warning, "warning: ", "  ")),
    ...wrapWords(
      `Ratios are new / old, with intervals of ${percent(confidence)}. ` +
        conclusion(results, tolerance),
      "",
      "",
    ),
  ]);
}

/** The job, and of the parameters that have no column those that differ within it. */
function headingOf(result: ResultComparison, all: readonly ResultComparison[]): string {
  const own = all.filter(({ job }) => job === result.job);
  const names = ["rw", "src", "dst", "provider", "numjobs", "rwmixread", "registration"] as const;
  const swept = names.filter((name) => {
    // Paths that have no provider are no reason to name the only one.
    const values = new Set(own.map((other) => other[name]));
    if (name === "provider") values.delete(null);
    return values.size > 1;
  });
  const words = swept.map((name) => `${name}=${result[name] ?? "none"}`);
  return [result.job, ...words].join(" ");
}

/** The interval of the CPU's ratio goes where there is room for it. */
function resultLines(results: readonly ResultComparison[]): string[] {
  const whole = table(columnsOf(interval), results);
  if (whole.every(({ length }) => length <= WIDTH)) return whole;
  return table(
    columnsOf((metric) => factor(metric?.ratio)),
    results,
  );
}

const columnsOf = (
  cpu: (metric: MetricComparison | undefined) => string,
): Column<ResultComparison>[] => [
  { title: "path", align: "left", value: ({ path }) => path },
  { title: "bs", align: "right", value: ({ bs }) => shortSize(bs) },
  { title: "depth", align: "right", value: ({ iodepth }) => String(iodepth) },
  { title: "old\nB/s", align: "right", value: ({ metrics }) => decimal(metrics?.bw_bytes.old) },
  { title: "new\nB/s", align: "right", value: ({ metrics }) => decimal(metrics?.bw_bytes.new) },
  { title: "ratio of\nB/s", align: "right", value: ({ metrics }) => interval(metrics?.bw_bytes) },
  {
    title: "ratio of\nlatency",
    align: "right",
    value: ({ metrics }) => interval(metrics?.lat_mean_ns),
  },
  {
    title: "ratio of\nCPU",
    align: "right",
    value: ({ metrics }) => cpu(metrics?.cpu_busy_ns_per_block),
  },
  { title: "verdict", align: "left", value: ({ verdict }) => verdict },
];

function conclusion(results: readonly ResultComparison[], tolerance: number): string {
  const worse = results.filter((result) => result.worse.length > 0);
  if (worse.length === 0) return notWorse(results, tolerance);
  const named = worse.map(
    ({ job, path, point, worse }) => `${job} ${path} ${point}: ${worse.join(", ")}`,
  );
  return `${worse.length} of ${results.length} ${results.length === 1 ? "is" : "are"} worse: ${named.join("; ")}.`;
}

/** Only of what could be judged: what could not may be worse. */
function notWorse(results: readonly ResultComparison[], tolerance: number): string {
  const nothing = `worse by more than ${percent(tolerance)} beyond its noise.`;
  const judged = results.filter(isJudged).length;
  if (judged === results.length && judged > 0) return `Nothing is ${nothing}`;
  const count = (...of: ResultVerdict[]): number =>
    results.filter(({ verdict }) => of.includes(verdict)).length;
  const [unknown, added] = [count("unknown"), count("added")];
  const failed = count("old failed", "both failed");
  const reasons = [
    ...(unknown > 0 ? [`${unknown} with too few samples or unknown figures`] : []),
    ...(failed > 0 ? [`${failed} whose old result failed`] : []),
    ...(added > 0 ? [`${added} with nothing to compare with`] : []),
    ...(results.length === 0 ? ["there are none"] : []),
  ].join(", ");
  return judged === 0
    ? `No result could be judged: ${reasons}.`
    : `Of ${judged} of ${counted(results.length, "result")} none is ${nothing} Not judged: ${reasons}.`;
}

/** `0.98 0.95-1.01` */
function interval(metric: MetricComparison | undefined): string {
  if (metric === undefined) return "-";
  const { ratio, ratio_ci: bounds } = metric;
  return bounds === null
    ? factor(ratio)
    : `${factor(ratio)} ${factor(bounds[0])}-${factor(bounds[1])}`;
}

/** Of what has nothing to be compared with: `-`. */
function factor(value: number | null | undefined): string {
  if (value === undefined) return "-";
  if (!isKnown(value) || value < 1e5) return fixed(value, isKnown(value) && value >= 100 ? 0 : 2);
  return value.toExponential(0);
}

/** Three digits, 1000-based: `819M`, `1.31G`. */
function decimal(value: number | null | undefined): string {
  if (value === undefined) return "-";
  if (!isKnown(value)) return UNKNOWN;
  const unit = Math.max(0, Math.min(4, Math.floor(Math.log10(Math.max(value, 1)) / 3)));
  const scaled = value / 1000 ** unit;
  return `${Number(scaled.toPrecision(3))}${["", "k", "M", "G", "T"][unit]!}`;
}
