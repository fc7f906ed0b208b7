import type { BenchResult, MachineReport } from "../bench/report.js";
import { shortName } from "./addresses.js";
import { flowsOf, type Flow } from "./flows.js";
import { html, type Markup } from "./markup.js";
import { topologySvg } from "./topology.js";
import { PATH_WORDS, pairWords } from "./words.js";

/** More of them are folded away: of a matrix there are very many. */
const SHOWN = 6;
/** And beyond these they are only counted, in the table of paths each has its line. */
const DRAWN = 60;

/** The ways that a job's data took, each drawn over the devices; null where the report names no device. */
export function flowFigures(
  results: readonly BenchResult[],
  machine: MachineReport,
  id: string,
): Markup | null {
  if (machine.devices.length === 0) return null;
  const flows = flowsOf(results, machine);
  const figures = flows
    .slice(0, DRAWN)
    .map((flow, index) => flowFigure(flow, machine, `${id}-way-${index}`));
  const rest = figures.slice(SHOWN);
  const omitted = flows.length - figures.length;
  return html`<h3>The way of the data</h3>
    <div class="figures flows">${figures.slice(0, SHOWN)}</div>
    ${
      rest.length === 0
        ? null
        : html`<details>
            <summary>
              ${rest.length} more ways${omitted > 0 ? `, ${omitted} are not drawn` : null}
            </summary>
            <div class="figures flows">${rest}</div>
          </details>`
    }`;
}

function flowFigure(flow: Flow, machine: MachineReport, id: string): Markup {
  const { path, rw, provider, legs } = flow;
  const title = `${path}, ${rw}, ${pairWords(flow)}`;
  return html`<figure class="card path-${path}">
    <figcaption>
      <strong class="path-name">${path}</strong> ${PATH_WORDS[path]}
      <span class="muted"
        >${rw}, ${pairWords(flow)}${provider === null ? null : `, by ${shortName(provider)}`}</span
      >
    </figcaption>
    ${topologySvg(machine, { id, title, flow })}
    <ol class="legs">
      ${legs.map(
        ({ words }, leg) =>
          html`<li>
            <svg class="topology-line" width="24" height="8" aria-hidden="true">
              <path class="leg ${leg % 2 === 0 ? null : "second"}" d="M0 4H24" />
            </svg>
            ${words}
          </li>`,
      )}
    </ol>
  </figure>`;
}
