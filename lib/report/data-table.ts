import { html, type Content, type Markup } from "./markup.js";

/** How a column is shown. */
export interface Column<Row> {
  title: string;
  /** Figures stand at the right; a row's first cell is its heading. */
  align: "left" | "right";
  value: (row: Row) => Content;
  /** Where it exists, the column is there only if it holds for some row. */
  shown?: (row: Row) => boolean;
}

/** One that scrolls in itself where it is too wide, also by the keyboard. */
export function dataTable<Row>(
  caption: string,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): Markup {
  const shown = columns.filter(({ shown }) => shown === undefined || rows.some(shown));
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption>
        <span>${caption}</span>
      </caption>
      <thead>
        <tr>
          ${shown.map(({ title, align }) => html`<th scope="col" class="${align}">${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${shown.map(({ align, value }, index) =>
                index === 0
                  ? html`<th scope="row" class="${align}">${value(row)}</th>`
                  : html`<td class="${align}">${value(row)}</td>`,
              )}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
