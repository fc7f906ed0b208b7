import type { BenchResult } from "../bench/report.js";
import { shortName } from "./addresses.js";
import { gainsOf } from "./gain.js";
import { distinct, sourceOf, targetOf, type Group, type Place } from "./groups.js";
import { html, type Markup } from "./markup.js";
import { bandwidth, isKnown, ratio } from "./quantities.js";

/** Shades of a heat map, from 0. */
const SHADES = 9;
/** The ratio that has the darkest shade of its side. */
const STRONGEST_RATIO = 2;

interface Cell {
  from: string;
  to: string;
  value: number | null;
  isFailed: boolean;
}

/** At one place: a heat map of each series over all pairs of devices, and one of what peer memory gains. */
export function matrices({ series }: Group, place: Place): Markup {
  const all = place.results.flat();
  const most = Math.max(...all.map(({ bw_bytes }) => bw_bytes).filter(isKnown), 0);
  const gains = gainsOf(all);
  return html`<div class="matrices">
    ${series.map(({ label }, index) => {
      const own = place.results[index]!;
      return own.length === 0
        ? null
        : heatMap(
            `${label}: bandwidth`,
            own.map((result) => cellOf(result, result.bw_bytes)),
            bandwidth,
            (value) => shade(value, most),
          );
    })}
    ${
      gains.length === 0
        ? null
        : heatMap(
            "Peer memory against host memory",
            gains.map(({ peer, ratio: value }) => cellOf(peer, value)),
            ratio,
            leaning,
          )
    }
  </div>`;
}

function cellOf(result: BenchResult, value: number | null): Cell {
  return {
    from: sourceOf(result),
    to: targetOf(result),
    value,
    isFailed: result.failed !== null,
  };
}

/** Sources down, destinations across, as the other outputs have it. */
function heatMap(
  title: string,
  cells: readonly Cell[],
  words: (value: number | null) => string,
  shadeOf: (value: number) => string,
): Markup {
  const rows = distinct(cells.map(({ from }) => from)).sort();
  const columns = distinct(cells.map(({ to }) => to)).sort();
  return html`<div class="scroll" role="region" aria-label="${title}" tabindex="0">
    <table class="matrix">
      <caption>
        <span>${title}</span>
      </caption>
      <thead>
        <tr>
          <th scope="col">from \\ to</th>
          ${columns.map((name) => html`<th scope="col">${shortName(name)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (from) =>
            html`<tr>
              <th scope="row">${shortName(from)}</th>
              ${columns.map((to) => {
                const cell = cells.find((one) => one.from === from && one.to === to);
                if (cell === undefined) return html`<td class="none" title="not measured">—</td>`;
                if (cell.isFailed) return html`<td class="none">failed</td>`;
                return html`<td class="${isKnown(cell.value) ? shadeOf(cell.value) : "none"}">
                  ${words(cell.value)}
                </td>`;
              })}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** From nothing to the most of all maps that are looked at together. */
function shade(value: number, most: number): string {
  return `heat-${most === 0 ? 0 : Math.round((value / most) * (SHADES - 1))}`;
}

/** To the one side what gains, to the other what loses. */
function leaning(value: number): string {
  const part = Math.min(Math.abs(Math.log(value)) / Math.log(STRONGEST_RATIO), 1);
  return `${value < 1 ? "loss" : "heat"}-${Math.round(part * (SHADES - 1))}`;
}
