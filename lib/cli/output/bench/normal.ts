import pc from "picocolors";
import { byJob } from "../../../bench/combinations.js";
import type { BenchReport, BenchResult, MachineReport } from "../../../bench/report.js";
import { groupBy } from "../../../group-by.js";
import { shellWord } from "../../../shell-word.js";
import { counted, formatSize } from "../../../units.js";
import { lines } from "../normal.js";
import { wrap, wrapWords } from "../text.js";
import { gridsOf } from "./grids.js";
import { matrixLines } from "./matrix.js";
import { resultTable, type Colors } from "./result-table.js";
import { expectationLines, failureLines, mismatchLines, warningLines } from "./verdicts.js";

const INDENT = "  ";

/**
 * For a person: at most 100 columns wide, but for a single word that is longer. Tables of each job, or
 * matrices where its points are pairs; what was expected, found wrong and is to be doubted; the machine.
 */
export function benchText(report: BenchReport, withColors: boolean): string {
  const colors = pc.createColors(withColors);
  const sections = [
    ...[...byJob(report.results)].flatMap(([job, results]) => jobSections(job, results, colors)),
    expectationLines(report.expectations, colors),
    [
      ...failureLines(report.results, colors),
      ...mismatchLines(report.results, colors),
      ...warningLines(report, colors),
      ...(report.incomplete
        ? wrapWords(
            "incomplete: the run ended early; results are what there was until then",
            "",
            INDENT,
          )
        : []
      ).map((line) => colors.yellow(line)),
    ],
    [
      ...wrap(machineFacts(report.machine), { first: "machine  ", ...REST }),
      ...wrap(report.command.map(shellWord), {
        first: "repeat   ",
        rest: " ".repeat(9),
        separator: " ",
      }),
    ],
  ];
  return lines(
    sections
      .filter((section) => section.length > 0)
      .flatMap((section, index) => (index === 0 ? section : ["", ...section])),
  );
}

const REST = { rest: " ".repeat(9), separator: ", " };

function jobSections(job: string, results: readonly BenchResult[], colors: Colors): string[][] {
  const { grids, rest } = gridsOf(results);
  return [
    ...grids.map((grid) => matrixLines(job, grid)),
    ...(rest.length === 0 ? [] : tableSections(job, rest, colors)),
  ];
}

/** One table with the endpoints as columns, or where that is too wide one for each two endpoints. */
function tableSections(job: string, results: readonly BenchResult[], colors: Colors): string[][] {
  const whole = resultTable(results, colors, true);
  if (whole.lost.length === 0) return [section(job, results, whole, colors)];
  const parts = groupBy(results, ({ rw, src, dst }) => JSON.stringify([rw, src, dst]));
  return [...parts.values()].map((part) =>
    section(job, part, resultTable(part, colors, false), colors),
  );
}

function section(
  job: string,
  results: readonly BenchResult[],
  { lines: rows, lost }: { lines: string[]; lost: string[] },
  { bold }: Colors,
): string[] {
  const heading = wrapWords(`${job}: ${headingOf(results).join(", ")}`, "", INDENT);
  return [
    ...heading.map((line) => line.replace(`${job}:`, (name) => bold(name))),
    ...rows,
    ...(lost.length === 0
      ? []
      : wrap([...lost, "see csv or json"], {
          first: "no room for ",
          rest: INDENT,
          separator: "; ",
        })),
  ];
}

/** What all the rows have in common, but for what failed. */
function headingOf(all: readonly BenchResult[]): string[] {
  const whole = all.filter(({ failed }) => failed === null);
  const results = whole.length === 0 ? all : whole;
  const same = <T>(of: (result: BenchResult) => T): T | undefined => {
    const values = new Set(results.map(of));
    return values.size === 1 ? [...values][0] : undefined;
  };
  const [rw, src, dst] = [same((r) => r.rw), same((r) => r.src), same((r) => r.dst)];
  const count = same(({ samples }) => samples.bw_bytes.length);
  const reads = same((r) => r.rwmixread);
  const size = same((r) => r.size);
  const seconds = results[0]!.runtime_ns / 1e9 / (count ?? NaN);
  const hasInterval = results.some(({ samples }) => samples.bw_bytes_ci !== null);
  return [
    ...(rw === undefined
      ? []
      : [rw === "copy" ? copyText(src, dst) : `${rw} ${placeText(src, dst)}`]),
    ...(typeof reads === "number" ? [`${reads} % reads`] : []),
    ...(typeof size === "number" ? [`over ${formatSize(size)}`] : []),
    ...(count === undefined || count === 0
      ? []
      : [`${counted(count, "sample")} of ${Number(seconds.toPrecision(2))} s`]),
    ...(hasInterval ? [`±% at ${percent(results[0]!.samples.confidence)} %`] : []),
    ...(same(({ traffic }) => traffic.source) === "derived" ? ["traffic derived"] : []),
  ];
}

/** Without the digits that a fraction of two has in binary. */
function percent(part: number): number {
  return Number((100 * part).toPrecision(4));
}

type Name = string | null | undefined;

function copyText(src: Name, dst: Name): string {
  return `copy${typeof src === "string" ? ` ${src}` : ""}${typeof dst === "string" ? ` to ${dst}` : ""}`;
}

function placeText(src: Name, dst: Name): string {
  return `of ${src ?? dst ?? "several"}`;
}

function machineFacts({ hostname, cpu, kernel, node, iommu, drivers }: MachineReport): string[] {
  return [
    hostname,
    cpu.model,
    counted(cpu.cores, "core"),
    `kernel ${kernel}`,
    ...drivers.flatMap(({ name, version }) => (version === null ? [] : [`${name} ${version}`])),
    `Node ${node}`,
    ...(iommu === null ? [] : [`IOMMU ${iommu}`]),
    ...(cpu.governor === null ? [] : [`governor ${cpu.governor}`]),
  ];
}
