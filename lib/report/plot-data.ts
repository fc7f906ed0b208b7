import type { BenchResult } from "../bench/report.js";
import type { Group } from "./groups.js";
import { lookOf, type Look } from "./looks.js";
import { isKnown, quotient } from "./quantities.js";
import { percentilesOf } from "./result-table.js";

/** What the page's script draws a job's plots from (assets/report/page.js). */
export interface PlotData {
  axes: { name: string; title: string; values: string[] }[];
  series: ({ label: string } & Look)[];
  /** Of latency. */
  percentiles: string[];
  points: PlotPoint[];
}

export interface PlotPoint {
  /** Index of its series, and for each axis of its value. */
  series: number;
  at: number[];
  bw: number;
  bw_ci: [number, number] | null;
  iops: number;
  iops_ci: [number, number] | null;
  /** For each percentile nanoseconds. */
  lat: (number | null)[] | null;
  /** For each sample its begin in seconds, and its bandwidth as a part of the median. */
  samples: [number, number][];
}

export function plotDataOf({ axes, series, places, results }: Group): PlotData {
  const percentiles = percentilesOf(results);
  return {
    axes,
    series: series.map((one) => ({ label: one.label, ...lookOf(one) })),
    percentiles,
    points: places.flatMap(({ at, results: bySeries }) =>
      bySeries.flatMap((own, index) =>
        own.filter(hasSamples).map((result) => ({
          series: index,
          at,
          bw: result.bw_bytes,
          bw_ci: result.samples.bw_bytes_ci,
          iops: result.iops,
          iops_ci: result.samples.iops_ci,
          lat: result.lat_ns && percentiles.map((name) => result.lat_ns?.percentile[name] ?? null),
          samples: samplesOf(result),
        })),
      ),
    ),
  };
}

/** What failed before its first sample has no place in a plot. */
function hasSamples({ bw_bytes: bandwidth }: BenchResult): boolean {
  return isKnown(bandwidth);
}

/** Each against the median of its own point, so that all of a run's can be looked at together. */
function samplesOf({ samples, bw_bytes: median }: BenchResult): [number, number][] {
  return samples.bw_bytes.flatMap((value, index) => {
    const at = samples.at_s[index];
    const part = quotient(value, median);
    return at === undefined || part === null ? [] : [[at, part] as [number, number]];
  });
}
