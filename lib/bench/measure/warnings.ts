import { median } from "../../stats/median.js";
import { trendProbability } from "../../stats/trend.js";
import type { Samples } from "../report.js";
import type { NoiseMeter, NoiseSource } from "./noise.js";

/** From here on something is worth a warning: parts of the CPU time, and of the median. */
const STEAL = 0.01;
const OTHERS = 0.05;
const DRIFT = 0.05;
const SPREAD = 0.1;
/** A drift is one if trendless samples showed it less often than this. */
const CHANCE = 0.02;
/** Load for each processor, of the minute before. */
const LOAD = 0.5;

const STEADY_GOVERNORS = new Set(["performance"]);

/** What makes all figures doubtful, before the first is measured. */
export function machineWarnings(source: NoiseSource): string[] {
  const load = source.loadAverage();
  const unsteady = source.governors().filter((name) => !STEADY_GOVERNORS.has(name));
  return [
    ...(load !== null && load > LOAD * source.cpus
      ? [
          `the load average was ${load.toFixed(2)} on ${source.cpus} CPUs when the run began: others were at work`,
        ]
      : []),
    ...(unsteady.length > 0
      ? [`the CPU frequency governor is ${unsteady.join(", ")}: clocks may change between samples`]
      : []),
  ];
}

/** What was noisy while a result's samples ran. */
export function noiseWarnings({ shares: { steal, others } }: Pick<NoiseMeter, "shares">): string[] {
  return [
    ...(steal !== null && steal > STEAL
      ? [`the hypervisor kept ${percent(steal)} of the CPU time for others (steal)`]
      : []),
    ...(others !== null && others > OTHERS
      ? [`other processes used ${percent(others)} of the CPU time`]
      : []),
  ];
}

/** What the samples of a result say themselves. */
export function sampleWarnings(samples: Samples): string[] {
  const { bw_bytes: bandwidths, bw_bytes_ci: interval, drift, confidence } = samples;
  const middle = median(bandwidths);
  const spread = interval === null ? 0 : (interval[1] - interval[0]) / 2 / middle;
  const drifts =
    drift !== null && Math.abs(drift) >= DRIFT && trendProbability(bandwidths) <= CHANCE;
  return [
    ...(drifts
      ? [
          `bandwidth ${drift < 0 ? "fell" : "rose"} by ${percent(Math.abs(drift))} from the first sample to the last`,
        ]
      : []),
    ...(spread > SPREAD
      ? [
          `bandwidth varies: from ${rate(Math.min(...bandwidths))} to ${rate(Math.max(...bandwidths))} GB/s, the median known to ±${percent(spread)} (${percent(confidence)} sure)`,
        ]
      : []),
  ];
}

function percent(part: number): string {
  return `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;
}

function rate(bytes: number): string {
  return (bytes / 1e9).toPrecision(3);
}
