// @ts-check
"use strict";
// The first half of a report page's own script: what each plot shows, of a job's data and of what was
// chosen. It has no module's scope: in the page its names are those of the script that comes after it.

/** @typedef {import("../../lib/report/plot-data.js").PlotData} PlotData */

/**
 * What one plot shows: values for each series over `xs`, null where there are none.
 * @typedef {object} Chart
 * @property {number[]} xs
 * @property {(x: number) => string} xWords
 * @property {boolean} isNamed the x are indices of names, else seconds
 * @property {(number | null)[][]} values
 * @property {([number, number] | null)[][]} intervals
 * @property {(value: number) => string} yWords
 * @property {"zero" | "log" | "around"} range of the vertical axis
 * @property {boolean} hasLines
 */

/** The least that a plot of samples spans on both sides of their medians. */
const LEAST_SPREAD = 0.02;

/** @type {(value: number, units: string[]) => string} */
const scaled = (value, units) => {
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(3))} ${units[unit] ?? ""}`.trim();
};
const WORDS = {
  bw: (/** @type {number} */ value) => scaled(value, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]),
  iops: (/** @type {number} */ value) => scaled(value, ["", "k", "M", "G"]),
  lat: (/** @type {number} */ value) => scaled(value, ["ns", "µs", "ms", "s"]),
  samples: (/** @type {number} */ value) => `${Number((100 * value).toFixed(1))} %`,
  seconds: (/** @type {number} */ value) => `${Number(value.toPrecision(4))} s`,
};

/** @type {(at: readonly number[], choice: readonly number[], except: number) => boolean} */
const isAt = (at, choice, except) =>
  at.every((value, axis) => axis === except || value === choice[axis]);

/** Bandwidth or IOPS over the values of one axis, at what was chosen of the others. */
/** @type {(job: PlotData, kind: "bw" | "iops", axis: number, choice: number[]) => Chart} */
const rateChart = (job, kind, axis, choice) => {
  const names = job.axes[axis]?.values ?? [];
  const found = job.series.map((_, series) =>
    names.map((_, index) =>
      job.points.find(
        (point) =>
          point.series === series && point.at[axis] === index && isAt(point.at, choice, axis),
      ),
    ),
  );
  return {
    xs: names.map((_, index) => index),
    xWords: (x) => names[x] ?? "",
    isNamed: true,
    values: found.map((points) => points.map((point) => point?.[kind] ?? null)),
    intervals: found.map((points) => points.map((point) => point?.[`${kind}_ci`] ?? null)),
    yWords: WORDS[kind],
    range: "zero",
    hasLines: true,
  };
};

/** @type {(job: PlotData, choice: number[]) => Chart} */
const latencyChart = (job, choice) => {
  const found = job.series.map((_, series) =>
    job.points.find((point) => point.series === series && isAt(point.at, choice, -1)),
  );
  return {
    xs: job.percentiles.map((_, index) => index),
    xWords: (x) => `p${job.percentiles[x] ?? ""}`,
    isNamed: true,
    // On a logarithmic axis there is no place for 0.
    values: found.map((point) => job.percentiles.map((_, index) => point?.lat?.[index] || null)),
    intervals: found.map(() => []),
    yWords: WORDS.lat,
    range: "log",
    hasLines: true,
  };
};

/** All of the job's, whatever was chosen: they were taken in turn. */
/** @type {(job: PlotData) => Chart} */
const samplesChart = (job) => {
  const all = job.points
    .flatMap(({ series, samples }) => samples.map(([at, part]) => ({ series, at, part })))
    .sort((a, b) => a.at - b.at);
  return {
    xs: all.map(({ at }) => at),
    xWords: WORDS.seconds,
    isNamed: false,
    values: job.series.map((_, index) =>
      all.map(({ series, part }) => (series === index ? part : null)),
    ),
    intervals: job.series.map(() => []),
    yWords: WORDS.samples,
    range: "around",
    hasLines: false,
  };
};

/** @type {(figure: HTMLElement, job: PlotData, choice: number[]) => Chart} */
const chartOf = (figure, job, choice) => {
  const { kind, against } = figure.dataset;
  if (kind === "lat") return latencyChart(job, choice);
  if (kind === "samples") return samplesChart(job);
  const axis = job.axes.findIndex(({ name }) => name === against);
  return rateChart(job, kind === "iops" ? "iops" : "bw", axis, choice);
};

/** @type {(chart: Chart) => uPlot.Range.MinMax} */
const verticalRange = ({ values, intervals, range }) => {
  const all = [...values.flat(), ...intervals.flat(2)].filter((value) => value !== null);
  // Not by Math.max(...): of a long run there may be more samples than a call takes arguments.
  const most = all.reduce((a, b) => Math.max(a, b), 0);
  const least = all.reduce((a, b) => Math.min(a, b), most);
  if (range === "zero") return [0, most === 0 ? 1 : most * 1.08];
  if (range === "log")
    return [10 ** Math.floor(Math.log10(least)), 10 ** Math.ceil(Math.log10(most * 1.01))];
  const spread = Math.max(most - 1, 1 - least, LEAST_SPREAD) * 1.15;
  return [1 - spread, 1 + spread];
};
