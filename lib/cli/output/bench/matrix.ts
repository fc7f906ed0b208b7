import type { BenchResult } from "../../../bench/report.js";
import { isKnown } from "../../../report/quantities.js";
import { shortSize } from "../../../units.js";
import { gigabytes, microseconds } from "../numbers.js";
import { tablesWithin, type Column } from "../table.js";
import { wrapWords } from "../text.js";
import type { Grid } from "./grids.js";
import { ShortNames } from "./short-names.js";

const INDENT = "  ";
/** Of a pair that was not measured, and of one that failed. */
const NONE = "-";
const FAILED = "null";

/** Bandwidth and mean latency of all pairs: a row for each source, a column for where its data go. */
export function matrixLines(job: string, grid: Grid): string[] {
  const names = new ShortNames();
  const cells = grid.rows.flatMap((row) =>
    grid.columns.flatMap((column) => grid.cell(row, column) ?? []),
  );
  const figures: [string, (result: BenchResult) => string][] = [
    ["GB/s", ({ bw_bytes }) => gigabytes(bw_bytes)],
  ];
  if (cells.some(({ lat_ns }) => isKnown(lat_ns?.mean)))
    figures.push(["mean us", ({ lat_ns }) => microseconds(lat_ns?.mean)]);
  return [
    ...wrapWords(`${job}: ${titleOf(grid, names).join(", ")}`, "", INDENT),
    ...figures.flatMap(([title, figure], index) => [
      ...(index === 0 ? [] : [""]),
      ...matrix(grid, title, figure, names),
    ]),
    ...names.legend(INDENT),
  ];
}

function titleOf({ example, provider }: Grid, names: ShortNames): string[] {
  const { rw, path, bs, iodepth, numjobs, rwmixread, registration } = example;
  return [
    `${rw} from each row to each column`,
    `path ${path}`,
    ...(provider === null ? [] : [`provider ${names.of(provider)}`]),
    `bs ${shortSize(bs)}`,
    `depth ${iodepth}`,
    ...(numjobs === 1 ? [] : [`jobs ${numjobs}`]),
    ...(rwmixread === null ? [] : [`${rwmixread} % reads`]),
    ...(registration === "once" ? [] : ["mapped for each I/O"]),
  ];
}

function matrix(
  { rows, columns, cell }: Grid,
  title: string,
  figure: (result: BenchResult) => string,
  names: ShortNames,
): string[] {
  const label: Column<string> = { title, align: "left", value: (row) => names.of(row) };
  const tables = tablesWithin(
    label,
    columns.map((column) => ({
      title: names.of(column),
      align: "right",
      value: (row) => {
        const result = cell(row, column);
        if (result === undefined) return NONE;
        return result.failed === null ? figure(result) : FAILED;
      },
    })),
    rows,
    INDENT,
  );
  return tables.flatMap((lines, index) => (index === 0 ? lines : ["", ...lines]));
}
