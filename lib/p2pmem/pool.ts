import { P2pError } from "../errors.js";

/** A piece of a provider's memory, handed out by a Pool. */
export interface Allocation {
  /** Bytes from the start of the provider. */
  readonly offset: number;
  /** Bytes, whole pages. */
  readonly length: number;
}

export const POOL_PAGE = 4096;

interface Extent {
  offset: number;
  length: number;
}

/**
 * Page-granular allocation from a provider's memory, as p2pdma's gen_pool gives it: best fit, freed
 * neighbours are joined. Bookkeeping only; it never touches the memory.
 */
export class Pool {
  /** Bytes. */
  readonly size: number;
  /** Sorted by offset, never adjacent. */
  readonly #free: Extent[];
  readonly #used = new Map<number, Allocation>();

  constructor(size: number) {
    this.size = Math.floor(size / POOL_PAGE) * POOL_PAGE;
    this.#free = this.size > 0 ? [{ offset: 0, length: this.size }] : [];
  }

  /** Bytes that are free. */
  get available(): number {
    return this.#free.reduce((sum, { length }) => sum + length, 0);
  }

  /** Bytes of the largest piece that alloc() can give. */
  get largestFree(): number {
    return this.#free.reduce((most, { length }) => Math.max(most, length), 0);
  }

  /** At least `length` bytes, page aligned. Errors: NO_ROOM, BAD_ARGUMENT. */
  alloc(length: number): Allocation {
    if (!Number.isSafeInteger(length) || length <= 0)
      throw new P2pError("BAD_ARGUMENT", `cannot allocate ${length} bytes of peer memory`);
    const size = Math.ceil(length / POOL_PAGE) * POOL_PAGE;
    let best: Extent | undefined;
    for (const extent of this.#free)
      if (extent.length >= size && (!best || extent.length < best.length)) best = extent;
    if (!best)
      throw new P2pError(
        "NO_ROOM",
        `no ${size} contiguous bytes of peer memory are free (largest piece: ${this.largestFree})`,
        { hint: "use less in flight (bs times iodepth) or a larger provider" },
      );
    const allocation = { offset: best.offset, length: size };
    best.offset += size;
    best.length -= size;
    if (best.length === 0) this.#free.splice(this.#free.indexOf(best), 1);
    this.#used.set(allocation.offset, allocation);
    return allocation;
  }

  /** Errors: NOT_ALLOCATED for a second free, or for what another pool gave. */
  free(allocation: Allocation): void {
    if (this.#used.get(allocation.offset) !== allocation)
      throw new P2pError(
        "NOT_ALLOCATED",
        `${allocation.length} bytes at offset ${allocation.offset} are not allocated from this pool`,
      );
    this.#used.delete(allocation.offset);
    const next = this.#free.findIndex(({ offset }) => offset > allocation.offset);
    const at = next < 0 ? this.#free.length : next;
    const before = this.#free[at - 1];
    const after = this.#free[at];
    const joined = { ...allocation };
    const joinsBefore = before && before.offset + before.length === joined.offset;
    const joinsAfter = after && joined.offset + joined.length === after.offset;
    if (joinsBefore) {
      joined.offset = before.offset;
      joined.length += before.length;
    }
    if (joinsAfter) joined.length += after.length;
    this.#free.splice(
      joinsBefore ? at - 1 : at,
      Number(Boolean(joinsBefore)) + Number(Boolean(joinsAfter)),
      joined,
    );
  }
}
