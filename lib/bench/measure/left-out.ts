import { counted } from "../../units.js";
import type { BenchJob } from "../job/job.js";
import type { BenchPath } from "../point.js";

/** Paths that a job has, but that do not apply to endpoints that nobody named for them. */
export class LeftOut {
  /** By job and path: why, of the first pair, and all pairs. */
  readonly #paths = new Map<string, { why: string; pairs: Set<string> }>();

  /** `pair`: the endpoints, `A and B`. */
  add({ name }: Pick<BenchJob, "name">, path: BenchPath, why: string, pair: string): void {
    const key = `${name}: the path ${path} is left out`;
    const known = this.#paths.get(key) ?? { why, pairs: new Set() };
    this.#paths.set(key, known);
    known.pairs.add(pair);
  }

  /** A line for each. */
  get warnings(): string[] {
    return [...this.#paths].map(([what, { why, pairs }]) => {
      const [first, ...others] = pairs;
      const more = others.length === 0 ? "" : ` (and ${counted(others.length, "other pair")})`;
      return `${what} for ${first}${more}: ${why}`;
    });
  }
}
