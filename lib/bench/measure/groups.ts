import { groupBy } from "../../group-by.js";
import { isKernelPath, type BenchPoint } from "../point.js";

/**
 * The points whose samples take turns: those that differ in nothing but the way (path and provider, the
 * wire, how memory is registered, and who asked for it), since those are what one compares. The groups in the order
 * of their first points, but for those of the kernel's paths, which are a pass of their own at the end: its
 * driver has other devices, or the same ones at another time.
 */
export function groupsOf(points: readonly BenchPoint[]): BenchPoint[][] {
  const all = [...groupBy(points, keyOf).values()];
  const isKernel = ([first]: BenchPoint[]): boolean => isKernelPath(first!.path);
  return [...all.filter((group) => !isKernel(group)), ...all.filter(isKernel)];
}

function keyOf(point: BenchPoint): string {
  const way = { provider: null, rdma: null, registration: null, isOneOfAll: null, refusal: null };
  return JSON.stringify({ ...point, path: isKernelPath(point.path), ...way });
}

/** One turn: the sample of a point, counted from 0. */
export interface Turn {
  point: BenchPoint;
  sample: number;
}

/** A B C A B C …, so that what drifts meanwhile hurts all of them alike. */
export function* turnsOf(group: readonly BenchPoint[]): Generator<Turn> {
  const rounds = Math.max(...group.map(({ samples }) => samples));
  for (let sample = 0; sample < rounds; sample++)
    for (const point of group) if (sample < point.samples) yield { point, sample };
}
