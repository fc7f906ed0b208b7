// @ts-check
"use strict";
// The script of a report's page: it draws the plots, and shows of each job what was chosen in its
// selects. It comes after uPlot and charts.js; the data are those of lib/report/plot-data.ts.

{
  const HEIGHT = 240;
  const PRINT_WIDTH = 330;
  const Y_AXIS = 78;
  /** A letter's width in the axes' font. */
  const LETTER = 7;
  const FONT = "12px system-ui, sans-serif";

  /** @type {PlotData[]} */
  const jobs = JSON.parse(document.getElementById("plots")?.textContent ?? "[]");
  /** @type {Map<HTMLElement, uPlot>} */
  const drawn = new Map();
  let isPrinting = false;

  /** Intervals and markers: uPlot draws only the lines. */
  /** @type {(plot: uPlot, chart: Chart, job: PlotData, colors: string[]) => void} */
  const drawPoints = ({ ctx, valToPos }, { xs, values, intervals }, job, colors) => {
    const ratio = window.devicePixelRatio;
    ctx.save();
    for (const [index, { marker }] of job.series.entries()) {
      ctx.strokeStyle = ctx.fillStyle = colors[index] ?? "";
      ctx.lineWidth = 1.5 * ratio;
      const shape = new Path2D(marker);
      for (const [i, value] of (values[index] ?? []).entries()) {
        if (value === null) continue;
        const x = valToPos(xs[i] ?? 0, "x", true);
        const interval = intervals[index]?.[i];
        if (interval) {
          const [from, to] = interval.map((bound) => valToPos(bound, "y", true));
          const half = 4 * ratio;
          ctx.beginPath();
          ctx.moveTo(x, from ?? 0);
          ctx.lineTo(x, to ?? 0);
          for (const y of [from ?? 0, to ?? 0]) {
            ctx.moveTo(x - half, y);
            ctx.lineTo(x + half, y);
          }
          ctx.stroke();
        }
        ctx.setTransform(ratio, 0, 0, ratio, x, valToPos(value, "y", true));
        ctx.fill(shape);
        ctx.setTransform(1, 0, 0, 1, 0, 0);
      }
    }
    ctx.restore();
  };

  /** The values under the pointer. */
  /** @type {(plot: uPlot, tip: HTMLElement, chart: Chart, job: PlotData) => void} */
  const showTip = (plot, tip, { xs, xWords, yWords, values, intervals }, job) => {
    const { idx, left = -1 } = plot.cursor;
    tip.hidden = typeof idx !== "number" || left < 0;
    if (typeof idx !== "number") return;
    const lines = job.series.flatMap(({ label }, series) => {
      const value = values[series]?.[idx] ?? null;
      const interval = intervals[series]?.[idx];
      if (value === null) return [];
      return `${label}: ${yWords(value)}${interval ? ` (${interval.map(yWords).join(" – ")})` : ""}`;
    });
    tip.textContent = [xWords(xs[idx] ?? 0), ...lines].join("\n");
    tip.classList.toggle("at-left", left > plot.over.clientWidth / 2);
  };

  /** @type {(figure: HTMLElement, job: PlotData, choice: number[], colors: string[]) => void} */
  const drawPlot = (figure, job, choice, colors) => {
    const host = /** @type {HTMLElement} */ (figure.querySelector(".canvas"));
    drawn.get(figure)?.destroy();
    drawn.delete(figure);
    const chart = chartOf(figure, job, choice);
    host.textContent = "";
    if (chart.values.flat().every((value) => value === null)) {
      host.textContent = "unknown";
      return;
    }
    const { color, borderColor } = getComputedStyle(host);
    const { xs, xWords, yWords, isNamed, hasLines } = chart;
    const width = isPrinting ? PRINT_WIDTH : host.clientWidth;
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    const lines = { stroke: borderColor, width: 1 };
    const axis = { stroke: color, font: FONT, grid: lines, ticks: { ...lines, size: 4 } };
    // As many names as there is room for.
    const longest = isNamed ? Math.max(...xs.map((x) => xWords(x).length)) : 0;
    const step = Math.ceil((xs.length * (longest * LETTER + 8)) / (width - Y_AXIS));
    /** @type {uPlot.Axis} */
    const named = {
      splits: xs,
      values: xs.map((x) => (x % step === 0 ? xWords(x) : "")),
    };
    const plot = new uPlot(
      {
        width,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: {
          x: { time: false, ...(isNamed ? { range: [-0.35, xs.length - 0.65] } : {}) },
          y: { distr: chart.range === "log" ? 3 : 1, range: verticalRange(chart) },
        },
        axes: [
          { ...axis, size: 32, ...(isNamed ? named : { values: (_, at) => at.map(xWords) }) },
          {
            ...axis,
            size: Y_AXIS,
            values: (_, at) => at.map((value) => (value === null ? "" : yWords(value))),
          },
        ],
        series: [
          {},
          ...job.series.map(({ label, dash }, index) => ({
            label,
            dash: [...dash],
            stroke: colors[index] ?? "",
            width: 2,
            spanGaps: true,
            points: { show: false },
            ...(hasLines ? {} : { paths: () => null }),
          })),
        ],
        hooks: {
          draw: [(self) => drawPoints(self, chart, job, colors)],
          setCursor: [(self) => showTip(self, tip, chart, job)],
        },
      },
      [xs, ...chart.values],
      host,
    );
    plot.over.append(tip);
    drawn.set(figure, plot);
  };

  /** Of one job's section what was chosen, all of it again. */
  /** @type {(section: HTMLElement) => void} */
  const showJob = (section) => {
    const job = jobs[Number(section.dataset.job)];
    if (job === undefined) return;
    const choice = [...section.querySelectorAll("select")].map(({ value }) => Number(value));
    const colors = [...section.querySelectorAll(".swatch")].map(
      (one) => getComputedStyle(one).color,
    );
    const words = job.axes.map(
      ({ title, values }, axis) => `${title} ${values[choice[axis] ?? 0]}`,
    );
    /** @type {HTMLElement[]} */
    const slices = [...section.querySelectorAll("[data-at]")].filter(
      (one) => one instanceof HTMLElement,
    );
    for (const slice of slices) slice.hidden = slice.dataset.at !== choice.join(",");
    const none = section.querySelector("[data-none]");
    if (none instanceof HTMLElement)
      none.hidden = slices.length === 0 || slices.some(({ hidden }) => !hidden);
    for (const figure of section.querySelectorAll("figure")) {
      const { kind, against } = figure.dataset;
      const rest = figure.querySelector("[data-rest]");
      const said = words.filter((_, axis) => job.axes[axis]?.name !== against);
      if (rest !== null && kind !== "samples" && said.length > 0)
        rest.textContent = `at ${said.join(", ")}`;
      if (kind !== undefined) drawPlot(figure, job, choice, colors);
    }
  };

  const sections = [...document.querySelectorAll("section.job")].filter(
    (section) => section instanceof HTMLElement,
  );
  const showAll = () => sections.forEach(showJob);

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = document.getElementById("theme");
  const isDark = () =>
    (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const showTheme = () => {
    if (theme === null) return;
    theme.hidden = false;
    theme.textContent = isDark() ? "Light theme" : "Dark theme";
    showAll();
  };

  for (const section of sections) section.addEventListener("change", () => showJob(section));
  theme?.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  dark.addEventListener("change", showTheme);

  // Ink on paper is dark, and what does not fit the paper's width is cut off.
  for (const [event, begins] of /** @type {const} */ ([
    ["beforeprint", true],
    ["afterprint", false],
  ]))
    window.addEventListener(event, () => {
      isPrinting = begins;
      document.documentElement.toggleAttribute("data-print", begins);
      showAll();
    });

  let lastWidth = 0;
  new ResizeObserver(() => {
    const { clientWidth } = document.documentElement;
    if (clientWidth === lastWidth) return;
    lastWidth = clientWidth;
    requestAnimationFrame(showAll);
  }).observe(document.documentElement);

  showTheme();
}
