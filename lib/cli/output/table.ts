import { WIDTH } from "./text.js";

/** How a column is shown; `title` may have two lines. */
export interface Column<Row> {
  title: string;
  align: "left" | "right";
  value(row: Row): string;
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
      .map(({ align }, index) => {
        const text = cells[index]![line]!;
        return align === "left" ? text.padEnd(widths[index]!) : text.padStart(widths[index]!);
      })
      .join(wide ? " " : "  ")
      .trimEnd(),
  );
}
