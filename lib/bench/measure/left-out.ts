import type { P2pError } from "../../errors.js";
import { counted } from "../../units.js";
import type { BenchJob } from "../job/job.js";
import type { BenchPath } from "../point.js";

/**
 * What a job leaves open, and for which the nearest was not taken: paths that do not apply to endpoints that
 * nobody named for them, and providers.
 */
export class LeftOut {
  /** By what was: why, of the first pair, and all pairs. */
  readonly #known = new Map<string, { why: string; pairs: Set<string> }>();

  /** `pair`: the endpoints, `A and B`. */
  add({ name }: Pick<BenchJob, "name">, path: BenchPath, why: string, pair: string): void {
    this.#add(`${name}: the path ${path} is left out`, why, pair);
  }

  /** `unfit`: why no nearer provider was taken, of each. */
  passOver(
    job: Pick<BenchJob, "name">,
    path: BenchPath,
    provider: string,
    unfit: readonly P2pError[],
    pair: string,
  ): void {
    const why = unfit.map(({ message }) => message).join("; ");
    this.#add(`${job.name}: the path ${path} takes ${provider}, no nearer memory,`, why, pair);
  }

  /** A line for each. */
  get warnings(): string[] {
    return [...this.#known].map(([what, { why, pairs }]) => {
      const [first, ...others] = pairs;
      const more = others.length === 0 ? "" : ` (and ${counted(others.length, "other pair")})`;
      return `${what} for ${first}${more}: ${why}`;
    });
  }

  #add(what: string, why: string, pair: string): void {
    const known = this.#known.get(what) ?? { why, pairs: new Set() };
    this.#known.set(what, known);
    known.pairs.add(pair);
  }
}
