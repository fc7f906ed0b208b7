import type { BenchPath } from "../bench/point.js";
import { html, type Markup } from "./markup.js";
import { isKnown } from "./quantities.js";

/** A bar of a chart; a value that is not known has none. */
export interface Bar {
  label: string;
  path: BenchPath;
  value: number | null;
  /** The value in words. */
  text: string;
  interval: readonly [number, number] | null;
}

/** Horizontal bars from 0, all on one scale; words beside them, so that none needs a colour to be read. */
export function barChart(title: string, bars: readonly Bar[]): Markup {
  const most = Math.max(
    ...bars.flatMap(({ value, interval }) => [value, interval?.[1]]).filter(isKnown),
    0,
  );
  const part = (value: number): string => `${most === 0 ? 0 : round((100 * value) / most)}%`;
  return html`<div class="bars" role="group" aria-label="${title}">
    <p>${title}</p>
    ${bars.map(
      ({ label, path, value, text, interval }) =>
        html`<div class="bar path-${path}">
          <span class="bar-label">${label}</span>
          <svg class="bar-track" width="100%" height="18" aria-hidden="true">
            <line class="zero" x1="0.5" y1="0" x2="0.5" y2="18" />
            ${
              isKnown(value)
                ? html`<rect x="0" y="2" width="${part(value)}" height="14" rx="2" />`
                : null
            }
            ${
              interval
                ? html`<line
                      class="interval"
                      x1="${part(interval[0])}"
                      y1="9"
                      x2="${part(interval[1])}"
                      y2="9"
                    />
                    <line
                      class="interval"
                      x1="${part(interval[0])}"
                      y1="5"
                      x2="${part(interval[0])}"
                      y2="13"
                    />
                    <line
                      class="interval"
                      x1="${part(interval[1])}"
                      y1="5"
                      x2="${part(interval[1])}"
                      y2="13"
                    />`
                : null
            }
          </svg>
          <span class="bar-value">${text}</span>
        </div>`,
    )}
  </div>`;
}

/** Of percents. */
function round(value: number): number {
  return Math.round(value * 100) / 100;
}
