import { byJob } from "../bench/combinations.js";
import type { BenchPath } from "../bench/point.js";
import type { BenchResult } from "../bench/report.js";
import { groupBy } from "../group-by.js";
import { shortSize } from "../units.js";
import { shortName } from "./addresses.js";

/** A job's results, in the order in which a person looks at them: what was swept, and what is compared. */
export interface Group {
  job: string;
  results: readonly BenchResult[];
  /** What the job swept over numbers; none with a single value. */
  axes: Axis[];
  /** What is compared at each point of the axes. */
  series: Series[];
  /** Every place on the axes that was measured. */
  places: Place[];
  /** A path was measured of several pairs of devices. */
  isMatrix: boolean;
}

export interface Axis {
  name: AxisName;
  /** For people: `block size`. */
  title: string;
  /** As fio writes them. */
  values: string[];
}

export type AxisName = "bs" | "iodepth" | "numjobs" | "rwmixread";

export interface Series {
  label: string;
  path: BenchPath;
  /** Among the series of this path, from 0: which kind of line it has. */
  variant: number;
}

export interface Place {
  /** For each axis the index of its value. */
  at: number[];
  /** The same in words, `bs=4k iodepth=8`; empty where nothing was swept. */
  label: string;
  /** For each series its results here: one, or none, or one for each pair of devices. */
  results: BenchResult[][];
}

const AXES: { name: AxisName; title: string; word: (value: number) => string }[] = [
  { name: "bs", title: "block size", word: shortSize },
  { name: "iodepth", title: "I/O depth", word: String },
  { name: "numjobs", title: "jobs", word: String },
  { name: "rwmixread", title: "reads in 100 I/Os", word: String },
];

/** In the order of the report. */
export function groupsOf(results: readonly BenchResult[]): Group[] {
  return [...byJob(results)].map(([job, own]) => groupOf(job, own));
}

function groupOf(job: string, results: readonly BenchResult[]): Group {
  const axes = AXES.map((axis) => ({ ...axis, numbers: numbersOf(results, axis.name) })).filter(
    ({ numbers }) => numbers.length > 1,
  );
  const words = axes.map(({ numbers, word }) =>
    numbers.map((n) => (n === null ? "none" : word(n))),
  );
  const isMatrix = [...groupBy(results, ({ rw, path }) => `${rw} ${path}`).values()].some(
    (own) => distinct(own.map(pairOf)).length > 1,
  );
  const labelled = groupBy(results, labeller(results, isMatrix ? endsOf : pairOf));
  const series: Series[] = [];
  for (const [label, [first]] of labelled) {
    const { path } = first!;
    series.push({ label, path, variant: series.filter((other) => other.path === path).length });
  }
  const places = new Map<string, Place>();
  for (const [index, own] of [...labelled.values()].entries())
    for (const result of own) {
      const at = axes.map(({ name, numbers }) => numbers.indexOf(result[name]));
      const label = axes.map(({ name }, axis) => `${name}=${words[axis]![at[axis]!]!}`).join(" ");
      const place = places.get(label) ?? { at, label, results: series.map(() => []) };
      places.set(label, place);
      place.results[index]!.push(result);
    }
  return {
    job,
    results,
    axes: axes.map(({ name, title }, axis) => ({ name, title, values: words[axis]! })),
    series,
    places: [...places.values()].sort((a, b) => compareNumbers(a.at, b.at)),
    isMatrix,
  };
}

/** What tells a job's series apart: the path, and whatever else differs at one place of one pair. */
function labeller(
  results: readonly BenchResult[],
  pair: (result: BenchResult) => string,
): (result: BenchResult) => string {
  const parts: ((result: BenchResult) => string | null)[] = [({ path }) => path];
  const label = (result: BenchResult): string =>
    parts
      .map((part) => part(result))
      .filter((part) => part !== null)
      .join(", ");
  if (distinct(results.map(({ rw }) => rw)).length > 1) parts.push(({ rw }) => rw);
  for (const part of [providerWords, registrationWords]) {
    const alike = groupBy(results, (result) =>
      JSON.stringify([...AXES.map(({ name }) => result[name]), pair(result), label(result)]),
    );
    if ([...alike.values()].some((own) => distinct(own.map(part)).length > 1)) parts.push(part);
  }
  return label;
}

function providerWords({ provider }: BenchResult): string | null {
  return provider === null ? null : shortName(provider);
}

function registrationWords({ registration }: BenchResult): string {
  return registration === "once" ? "mapped once" : "mapped for each I/O";
}

/** Of devices: where a result's data came from and went to. */
export function pairOf({ src, dst }: BenchResult): string {
  return JSON.stringify([src, dst]);
}

/** The same, and where nothing else is at one end, the memory there. */
function endsOf(result: BenchResult): string {
  return JSON.stringify([sourceOf(result), targetOf(result)]);
}

export function sourceOf({ src, provider, failed }: BenchResult): string {
  return src ?? provider ?? memoryOf(failed);
}

export function targetOf({ dst, provider, failed }: BenchResult): string {
  return dst ?? provider ?? memoryOf(failed);
}

/** What failed may have found no peer memory. */
function memoryOf(failed: BenchResult["failed"]): string {
  return failed === null ? "host memory" : "no memory";
}

function numbersOf(results: readonly BenchResult[], name: AxisName): (number | null)[] {
  return distinct(results.map((result) => result[name])).sort((a, b) => (a ?? -1) - (b ?? -1));
}

export function distinct<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, i) => value !== b[i]);
  return index < 0 ? 0 : a[index]! - b[index]!;
}
