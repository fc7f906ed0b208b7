import type { BenchResult, MachineReport } from "../bench/report.js";
import { counted } from "../units.js";
import { barChart, type Bar } from "./bars.js";
import { flowFigures } from "./flow-figures.js";
import { hostBytesPerByte } from "./gain.js";
import { gainTable } from "./gain-table.js";
import { distinct, type Axis, type Group, type Place } from "./groups.js";
import { html, type Content, type Markup } from "./markup.js";
import { lookOf, type Look } from "./looks.js";
import { matrices } from "./matrix.js";
import { bandwidth, digits, ioRate, isKnown, time } from "./quantities.js";
import { resultTable } from "./result-table.js";
import { pairWords } from "./words.js";

/** All of one job: the ways of its data, plots, bars or matrices, and its tables. */
export function jobSection(group: Group, index: number, machine: MachineReport): Markup {
  const { job, axes, results, isMatrix } = group;
  const first = firstPlace(group);
  return html`<section class="job" data-job="${index}" aria-labelledby="job-${index}">
    <h2 id="job-${index}">${job}</h2>
    <p class="muted">${describe(group)}</p>
    <div class="toolbar">
      ${legend(group)} ${axes.map((axis, number) => selector(axis, first.at[number]!))}
      <p class="muted" data-none hidden>Not measured at this combination.</p>
    </div>
    ${isMatrix ? slices(group, first, (place) => matrices(group, place)) : null}
    <div class="figures">
      ${isMatrix ? null : figures(group, first)}
      ${plot("samples", "Each sample against its median, over the run’s time", null)}
    </div>
    ${gainTable(group)} ${flowFigures(results, machine, `job-${index}`)} ${resultTable(group)}
  </section>`;
}

/** What is shown before anybody chooses: where the job was fastest. */
function firstPlace({ places }: Group): Place {
  const speed = ({ results }: Place): number =>
    Math.max(...results.flatMap((own) => own.map(({ bw_bytes }) => bw_bytes)).filter(isKnown));
  return places.reduce((best, place) => (speed(place) > speed(best) ? place : best));
}

function describe({ results, places, axes }: Group): string {
  const samples = distinct(results.map((result) => result.samples.bw_bytes.length)).filter(Boolean);
  const confidences = distinct(results.map((result) => result.samples.confidence));
  const pairs = distinct(results.map(pairWords));
  return [
    distinct(results.map(({ rw }) => rw)).join(", "),
    pairs.length === 1 ? pairs[0]! : counted(pairs.length, "pair"),
    axes.length === 0
      ? counted(results.length, "result")
      : `${counted(results.length, "result")} at ${counted(places.length, "combination")}`,
    ...(samples.length === 0 ? [] : [`${samples.join(" or ")} samples each`]),
    `intervals of ${confidences.map((part) => `${Number((100 * part).toFixed(2))} %`).join(" or ")}`,
  ].join("; ");
}

function legend({ series }: Group): Markup {
  return html`<ul class="legend">
    ${series.map(
      (one) => html`<li class="path-${one.path}">${swatch(lookOf(one))} ${one.label}</li>`,
    )}
  </ul>`;
}

/** The page's script takes its colour from there, too. */
function swatch({ marker, dash }: Look): Markup {
  return html`<svg class="swatch" width="34" height="14" viewBox="-17 -7 34 14" aria-hidden="true">
    <path class="line" d="M-16 0H16" stroke-dasharray="${dash.join(" ")}" />
    <path d="${marker}" />
  </svg>`;
}

function selector({ name, title, values }: Axis, chosen: number): Markup {
  return html`<label class="axis"
    >${title}
    <select data-axis="${name}" autocomplete="off">
      ${values.map(
        (value, index) =>
          html`<option value="${index}" ${index === chosen ? html`selected` : null}>
            ${value}
          </option>`,
      )}
    </select></label
  >`;
}

/** How fast it was: against each axis, at what is chosen of the others; without any bars say it better. */
function figures(group: Group, first: Place): Markup[] {
  const { axes, results } = group;
  const rates = axes.flatMap(({ name, title }) => [
    plot("bw", `Bandwidth against ${title}`, name),
    plot("iops", `IOPS against ${title}`, name),
  ]);
  return [
    ...(axes.length > 0 ? rates : [barCard("How fast it is", RATES, group, first)]),
    ...(results.some(({ lat_ns }) => lat_ns !== null)
      ? [plot("lat", "Latency percentiles", null)]
      : []),
    barCard("What it costs", COSTS, group, first),
  ];
}

/** Where the page's script draws one; the figures are all in the job's table, too. */
function plot(kind: string, title: string, axis: string | null): Markup {
  return html`<figure class="card plot" data-kind="${kind}" data-against="${axis}">
    <figcaption>${title} <span class="muted" data-rest></span></figcaption>
    <div
      class="canvas"
      role="img"
      aria-label="${title}; the table of all figures holds the values"
    ></div>
  </figure>`;
}

function barCard(title: string, charts: readonly Chart[], group: Group, first: Place): Markup {
  return html`<figure class="card">
    <figcaption>${title} <span class="muted" data-rest></span></figcaption>
    ${slices(group, first, (place) => charts.map((chart) => chartAt(group, place, chart)))}
  </figure>`;
}

interface Chart {
  title: string;
  value: (result: BenchResult) => number | null;
  words: (value: number | null) => string;
  interval?: (result: BenchResult) => [number, number] | null;
}

const RATES: Chart[] = [
  {
    title: "Bandwidth",
    value: ({ bw_bytes }) => bw_bytes,
    words: bandwidth,
    interval: ({ samples }) => samples.bw_bytes_ci,
  },
  {
    title: "IOPS",
    value: ({ iops }) => iops,
    words: ioRate,
    interval: ({ samples }) => samples.iops_ci,
  },
];

const COSTS: Chart[] = [
  { title: "Driver’s CPU time a block", value: ({ cpu }) => cpu.busy_ns_per_block, words: time },
  { title: "Host memory, bytes for each byte moved", value: hostBytesPerByte, words: digits },
];

function chartAt({ series }: Group, { results }: Place, chart: Chart): Markup {
  const { title, value, words, interval } = chart;
  const bars = series.flatMap(({ label, path }, index) =>
    results[index]!.map((result): Bar => {
      const known = value(result);
      return {
        label,
        path,
        value: known,
        text: words(known),
        interval: interval?.(result) ?? null,
      };
    }),
  );
  return barChart(title, bars);
}

/** One for each place, of which one is seen; the page's script shows the one that was chosen. */
function slices({ places }: Group, first: Place, show: (place: Place) => Content): Markup[] {
  return places.map(
    (place) =>
      html`<div data-at="${place.at.join(",")}" ${place === first ? null : html`hidden`}>
        ${show(place)}
      </div>`,
  );
}
