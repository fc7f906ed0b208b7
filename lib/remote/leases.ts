import { P2pError } from "../errors.js";

/** A range that one transfer uses. Bytes from the start of the namespace. */
export interface Range {
  /** Whose blocks it is of, whatever path leads there: see OpenRange. */
  volume: string;
  /** What people call that. */
  name: string;
  start: number;
  end: number;
  isWriter: boolean;
}

/** Which ranges are in use. Who writes one is alone there; those who read may be many. */
export class Leases {
  readonly #held = new Set<{ range: Range; isStuck: boolean }>();

  /** Errors: IN_USE. */
  acquire(range: Range): Lease {
    const other = [...this.#held].find((held) => conflicts(held.range, range));
    if (other !== undefined) throw inUse(range, other);
    const held = { range, isStuck: false };
    this.#held.add(held);
    return {
      release: () => this.#held.delete(held),
      abandon: () => {
        held.isStuck = true;
      },
    };
  }
}

export interface Lease {
  /** Nothing of it is in flight any more. */
  release(): void;
  /** Something of it may be in flight for ever: nobody else gets the range. */
  abandon(): void;
}

function conflicts(a: Range, b: Range): boolean {
  if (a.volume !== b.volume || !(a.isWriter || b.isWriter)) return false;
  return a.start < b.end && b.start < a.end;
}

function inUse({ name }: Range, other: { range: Range; isStuck: boolean }): P2pError {
  const { isWriter } = other.range;
  if (other.isStuck)
    return new P2pError(
      "IN_USE",
      `an earlier copy could not be ended, and may still ${isWriter ? "write" : "read"} a part of that range of ${name}`,
      { hint: "start p2pmem serve anew" },
    );
  return new P2pError(
    "IN_USE",
    `another copy ${isWriter ? "writes" : "reads"} a part of that range of ${name}`,
    { hint: "wait until it has finished" },
  );
}
