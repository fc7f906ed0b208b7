import { Pins } from "../dma/pins.js";
import { P2pError } from "../errors.js";
import { Extents, NO_EXTENT } from "../extents/extents.js";
import type { Range } from "../extents/ranges.js";
import { assertRequest } from "../extents/request.js";
import { Revocation, type RevokeListener } from "./revocation.js";

export const POOL_PAGE = 4096;

/** How full a pool is. */
export interface PoolStatistics {
  /** Bytes. */
  readonly size: number;
  /** Bytes that are free. */
  readonly available: number;
  /** Bytes of the largest piece that is free. */
  readonly largestFree: number;
  /** The most bytes that were in use at once. */
  readonly peak: number;
  /** Pieces that are handed out. */
  readonly allocations: number;
}

// What Pool and Allocation let each other do, and nobody else: set by the classes, which alone can.
let handOut: (pool: Pool, extent: number) => Allocation;
/** Gives its extent the first time, then NO_EXTENT. */
let takeBack: (allocation: Allocation) => number;
let pinsOf: (pool: Pool) => Map<Allocation, Pins>;
let revocationOf: (pool: Pool) => Revocation<Allocation>;
let extentsOf: (pool: Pool) => Extents;

/**
 * A piece of a provider's memory. Made by Pool.alloc(). It knows no more than whose and which it is:
 * where many are live, each word more is fetched from memory, and copied by the garbage collector.
 */
export class Allocation {
  readonly pool: Pool;
  /** NO_EXTENT once it is freed. */
  #extent: number;

  static {
    handOut = (pool, extent) => new Allocation(pool, extent);
    takeBack = (allocation) => {
      const extent = allocation.#extent;
      allocation.#extent = NO_EXTENT;
      return extent;
    };
  }

  private constructor(pool: Pool, extent: number) {
    this.pool = pool;
    this.#extent = extent;
  }

  /** Bytes from the start of the provider. Errors: NOT_ALLOCATED once freed. */
  get offset(): number {
    this.#assertHeld();
    return extentsOf(this.pool).start(this.#extent) * POOL_PAGE;
  }

  /** Bytes, whole pages. Errors: NOT_ALLOCATED once freed. */
  get length(): number {
    this.#assertHeld();
    return extentsOf(this.pool).length(this.#extent) * POOL_PAGE;
  }

  /**
   * Calls `listener` once if the provider is revoked while this is held; at once if it already is.
   * Errors: NOT_ALLOCATED once freed.
   */
  onRevoke(listener: RevokeListener): void {
    this.#assertHeld();
    revocationOf(this.pool).listen(this, listener);
  }

  /** Errors: NOT_ALLOCATED once freed, REVOKED once the provider is gone. */
  assertUsable(): void {
    this.#assertHeld();
    const { error } = revocationOf(this.pool);
    if (error) throw revoked(place(this), error);
  }

  /** A transfer to or from it begins: freed meanwhile, it goes back when that has ended. */
  pin(): void {
    const all = pinsOf(this.pool);
    const pins = all.get(this) ?? new Pins();
    all.set(this, pins);
    pins.pin();
  }

  unpin(): void {
    const all = pinsOf(this.pool);
    const pins = all.get(this);
    pins?.unpin();
    if (pins?.isPinned === false) all.delete(this);
  }

  #assertHeld(): void {
    if (this.#extent === NO_EXTENT)
      throw new P2pError("NOT_ALLOCATED", "this piece of peer memory is not allocated any more", {
        hint: "free an allocation after its last use",
      });
  }
}

/**
 * Page-granular allocation from a provider's memory, as p2pdma's gen_pool gives it: best fit, freed
 * neighbours are joined. Bookkeeping only; it never touches the memory. It is published at first.
 */
export class Pool {
  /** Bytes, whole pages. */
  readonly size: number;
  readonly #extents: Extents;
  readonly #revocation = new Revocation<Allocation>();
  /** Of the allocations that transfers use. */
  readonly #pins = new Map<Allocation, Pins>();
  /** To be called once nothing is handed out. */
  readonly #waiting: (() => void)[] = [];
  #isPublished = true;
  /** The fewest pages that were ever free. */
  #low: number;

  static {
    pinsOf = (pool) => pool.#pins;
    revocationOf = (pool) => pool.#revocation;
    extentsOf = (pool) => pool.#extents;
  }

  /** `size` in bytes; what is no whole page at its end is left alone. */
  constructor(size: number) {
    const pages = Math.floor(size / POOL_PAGE);
    this.size = pages * POOL_PAGE;
    this.#extents = new Extents(pages > 0 ? [{ start: 0, end: pages }] : []);
    this.#low = pages;
  }

  /** True where alloc() gives memory. */
  get isPublished(): boolean {
    return this.#isPublished && this.#revocation.error === null;
  }

  /** Bytes that are free. */
  get available(): number {
    return this.#extents.available * POOL_PAGE;
  }

  /** Bytes of the largest piece that alloc() can give. */
  get largestFree(): number {
    return this.#extents.largest * POOL_PAGE;
  }

  /** The most bytes that were in use at once. */
  get peak(): number {
    return this.size - this.#low * POOL_PAGE;
  }

  /** Pieces that are handed out. */
  get allocationCount(): number {
    return this.#extents.count;
  }

  statistics(): PoolStatistics {
    const { size, available, largestFree, peak, allocationCount: allocations } = this;
    return { size, available, largestFree, peak, allocations };
  }

  /**
   * At least `length` bytes. `alignment` in bytes, of their offset: a power of two, a page or more.
   * Errors: NO_ROOM, BAD_ARGUMENT, UNPUBLISHED, REVOKED.
   */
  alloc(length: number, alignment = POOL_PAGE): Allocation {
    assertRequest(length, alignment, POOL_PAGE, "peer memory");
    this.#assertGives(length);
    const pages = Math.ceil(length / POOL_PAGE);
    const extent = this.#extents.alloc(pages, alignment / POOL_PAGE);
    if (extent === NO_EXTENT) throw this.#noRoom(pages * POOL_PAGE, alignment);
    return this.#handOut(extent);
  }

  /**
   * Just these bytes, whole pages: for what looks at certain places. Takes time by the number of
   * pieces. Errors: NO_ROOM, UNPUBLISHED, REVOKED.
   */
  allocAt(offset: number, length: number): Allocation {
    this.#assertGives(length);
    const pages = length / POOL_PAGE;
    const extent = this.#extents.allocAt(offset / POOL_PAGE, pages);
    if (extent === NO_EXTENT)
      throw new P2pError(
        "NO_ROOM",
        `${length} bytes of peer memory at offset ${offset} are not free`,
        { hint: "freeRanges() has what is" },
      );
    return this.#handOut(extent);
  }

  /** What is free, by address, in bytes. Takes time by the number of pieces. */
  freeRanges(): Range[] {
    return this.#extents
      .freeRanges()
      .map(({ start, end }) => ({ start: start * POOL_PAGE, end: end * POOL_PAGE }));
  }

  /**
   * Takes back what alloc() or allocAt() gave, also after unpublish() and revoke(): holders let go
   * then. Nobody else gets it before the transfers that use it have ended.
   * Errors: DOUBLE_FREE, FOREIGN_FREE for what another pool gave.
   */
  free(allocation: Allocation): void {
    if (allocation.pool !== this) throw foreignFree();
    const extent = takeBack(allocation);
    if (extent === NO_EXTENT) throw doubleFree();
    this.#revocation.forget(allocation);
    const pins = this.#pins.size > 0 ? this.#pins.get(allocation) : undefined;
    if (pins === undefined) this.#giveBack(extent);
    else
      pins.whenFree(() => {
        this.#giveBack(extent);
      });
  }

  /** Resolves once nothing is handed out any more. */
  drained(): Promise<void> {
    if (this.allocationCount === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Lets alloc() give memory again. Errors: REVOKED. Idempotent. */
  publish(): void {
    if (this.#revocation.error) throw revoked("the pool's bytes", this.#revocation.error);
    this.#isPublished = true;
  }

  /** From now on alloc() gives nothing; what is held stays valid. Idempotent. */
  unpublish(): void {
    this.#isPublished = false;
  }

  /**
   * The memory is gone, for ever: tells each holder once, but for those whose allocation a listener
   * frees before it is their turn. A listener that throws does not keep the others from being told;
   * what the first one threw is thrown at the end. Idempotent.
   */
  revoke(error: P2pError): void {
    this.#revocation.revoke(error);
  }

  #assertGives(length: number): void {
    if (this.#revocation.error)
      throw revoked(`${length} bytes to allocate`, this.#revocation.error);
    if (!this.#isPublished) throw unpublished(length);
  }

  #handOut(extent: number): Allocation {
    const extents = this.#extents;
    if (extents.available < this.#low) this.#low = extents.available;
    return handOut(this, extent);
  }

  #giveBack(extent: number): void {
    this.#extents.free(extent);
    if (this.#waiting.length > 0 && this.allocationCount === 0)
      for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #noRoom(size: number, alignment: number): P2pError {
    const aligned = alignment > POOL_PAGE ? `, aligned to ${alignment},` : "";
    return new P2pError(
      "NO_ROOM",
      `no ${size} contiguous bytes${aligned} of peer memory are free (largest piece: ${this.largestFree})`,
      { hint: "use less in flight (bs times iodepth) or a larger provider" },
    );
  }
}

function place({ offset, length }: Allocation): string {
  return `${length} bytes of peer memory at offset ${offset}`;
}

function unpublished(length: number): P2pError {
  return new P2pError(
    "UNPUBLISHED",
    `cannot allocate ${length} bytes of peer memory: it is not published`,
    { hint: "publish() it, or choose another provider" },
  );
}

function revoked(what: string, cause: P2pError): P2pError {
  return new P2pError("REVOKED", `${what} are revoked: ${cause.message}`, {
    hint: "open the provider again once its device is back",
    ...(cause.device === undefined ? {} : { device: cause.device }),
    cause,
  });
}

function doubleFree(): P2pError {
  return new P2pError("DOUBLE_FREE", "this piece of peer memory was freed before", {
    hint: "free an allocation once",
  });
}

function foreignFree(): P2pError {
  return new P2pError("FOREIGN_FREE", "this piece of peer memory is not from this pool", {
    hint: "free an allocation at its own pool",
  });
}
