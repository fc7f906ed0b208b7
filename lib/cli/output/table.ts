import { WIDTH } from "./text.js";

/** How a column is shown; `title` may have two lines. */
export interface Column<Row> {
  title: string;
  align: "left" | "right";
  value: (row: Row) => string;
  /** Colours the cell; its width stays. */
  paint?: (text: string, row: Row) => string;
}

/** Lines of a table, with two blanks between columns, or one where it would get too wide. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string[] {
  const height = Math.max(...columns.map(({ title }) => title.split("\n").length));
  const cells = columns.map((column) => [
    ...Array.from({ length: height }, (_, line) => column.title.split("\n")[line] ?? ""),
    ...rows.map((row) => column.value(row)),
  ]);
  const widths = cells.map((column) => Math.max(...column.map(({ length }) => length)));
  const wide = widths.reduce((sum, width) => sum + width, 2 * (columns.length - 1)) > WIDTH;
  return Array.from({ length: height + rows.length }, (_, line) =>
    columns
      .map(({ align, paint }, index) => {
        const text = cells[index]![line]!;
        const row = rows[line - height];
        const shown = row === undefined || paint === undefined ? text : paint(text, row);
        const blanks = " ".repeat(widths[index]! - text.length);
        return align === "left" ? shown + blanks : blanks + shown;
      })
      .join(wide ? " " : "  ")
      .trimEnd(),
  );
}

/** As many tables, each with the first column, as the others need to fit the width behind `indent`. */
export function tablesWithin<Row>(
  label: Column<Row>,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  indent: string,
): string[][] {
  const widthOf = ({ title, value }: Column<Row>): number =>
    Math.max(title.length, ...rows.map((row) => value(row).length));
  const found: Column<Row>[][] = [];
  let room = 0;
  for (const column of columns) {
    const width = widthOf(column) + 2;
    if (width > room || found.length === 0) {
      found.push([label]);
      room = WIDTH - indent.length - widthOf(label);
    }
    found.at(-1)!.push(column);
    room -= width;
  }
  return found.map((some) => table(some, rows).map((line) => indent + line));
}
