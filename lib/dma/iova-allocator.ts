import { P2pError } from "../errors.js";
import { Extents, NO_EXTENT } from "../extents/extents.js";
import { contains, merge, subtract, type Range } from "../extents/ranges.js";
import { assertRequest } from "../extents/request.js";
import { toIova, type Iova } from "./iova.js";

/** The least that an IOMMU of x86-64 maps. */
const PAGE = 4096;
/** The first MiB is left alone: an IOVA of 0 is too easily a mistake. */
const LOWEST = 2 ** 20;
/** Beyond, an address is no safe integer. */
const HIGHEST = 2 ** 52;

// What an IovaAllocator may do with an IovaRange, and nobody else: set by the class, which alone can.
let handOut: (owner: IovaAllocator, extent: number) => IovaRange;
/** Gives its extent to its owner the first time; then, and to others, NO_EXTENT. */
let takeBack: (range: IovaRange, owner: IovaAllocator) => number;
let rangeOf: (owner: IovaAllocator, extent: number) => Range;

/** IOVAs that are in use. Made by IovaAllocator. As small as an Allocation, for the same reason. */
export class IovaRange {
  readonly #owner: IovaAllocator;
  /** NO_EXTENT once it is released; below 0: minus 1 minus the number of an identity range. */
  #extent: number;

  static {
    handOut = (owner, extent) => new IovaRange(owner, extent);
    takeBack = (range, owner) => {
      if (range.#owner !== owner) return NO_EXTENT;
      const extent = range.#extent;
      range.#extent = NO_EXTENT;
      return extent;
    };
  }

  private constructor(owner: IovaAllocator, extent: number) {
    this.#owner = owner;
    this.#extent = extent;
  }

  /** Errors: NOT_MAPPED once released. */
  get iova(): Iova {
    return toIova(this.#range.start);
  }

  /** Bytes, whole pages. Errors: NOT_MAPPED once released. */
  get size(): number {
    const { start, end } = this.#range;
    return end - start;
  }

  get #range(): Range {
    if (this.#extent === NO_EXTENT) throw notTaken();
    return rangeOf(this.#owner, this.#extent);
  }
}

/**
 * Gives out IOVAs, and uses freed ones again. It keeps clear of every bus address that some bridge
 * window or BAR answers to, because below a switch without redirect such an IOVA would reach a
 * stranger's BAR (as the kernel's own DMA layer does: linux/drivers/iommu/dma-iommu.c,
 * iova_reserve_pci_windows). Only take() may use those, for the deliberate identity mapping of a
 * peer's BAR.
 *
 * Best fit: the spaces between the windows below 4 GiB are the small ones, so they are filled first,
 * and requests have the shorter header that 32-bit addresses have (PCIe 6 §2.2.4.1).
 */
export class IovaAllocator {
  /** In pages. */
  readonly #extents: Extents;
  /** In bytes, sorted, disjoint, never adjacent, as the one below. */
  #usable: readonly Range[];
  readonly #busRanges: readonly Range[];
  /** What take() gave, by number, with null where it was released. A few, one for each provider. */
  readonly #identities: (Range | null)[] = [];

  static {
    rangeOf = (owner, extent) => owner.#rangeOf(extent);
  }

  /** `usable`: what the IOMMU can map, ends inclusive; `busRanges`: addresses to keep clear of. */
  constructor(
    usable: readonly { first: number; last: number }[],
    busRanges: readonly { start: number; size: number }[],
  ) {
    this.#usable = toRanges(usable);
    this.#busRanges = merge(busRanges.map(({ start, size }) => ({ start, end: start + size })));
    const busy = merge([{ start: 0, end: LOWEST }, ...this.#busRanges]);
    this.#extents = new Extents(toPages(this.#usable.flatMap((range) => subtract(range, busy))));
  }

  /**
   * The IOMMU can map less than before, as with each device that is attached it may. What has been
   * given out stays.
   */
  restrict(usable: readonly { first: number; last: number }[]): void {
    this.#usable = toRanges(usable);
    this.#extents.confine(toPages(this.#usable));
  }

  /**
   * `size` and `alignment` in bytes; the size is rounded up to pages, the alignment is a power of
   * two, a page or more. Errors: NO_IOVA, BAD_ARGUMENT.
   */
  allocate(size: number, alignment: number): IovaRange {
    assertRequest(size, alignment, PAGE, "IOVA space");
    const pages = Math.ceil(size / PAGE);
    const extent = this.#extents.alloc(pages, alignment / PAGE);
    if (extent === NO_EXTENT) throw noIova(size);
    return handOut(this, extent);
  }

  /**
   * Takes exactly [address, address + size), whole pages that must be bus addresses. Null where they
   * are not, where the IOMMU cannot map them, or where they are taken.
   */
  take(address: number, size: number): IovaRange | null {
    const end = address + size;
    if (size <= 0 || address % PAGE !== 0 || size % PAGE !== 0) return null;
    if (!contains(this.#usable, address, end) || !contains(this.#busRanges, address, end))
      return null;
    const identities = this.#identities;
    if (identities.some((other) => other && other.start < end && address < other.end)) return null;
    const vacant = identities.indexOf(null);
    const number = vacant < 0 ? identities.length : vacant;
    identities[number] = { start: address, end };
    return handOut(this, ~number);
  }

  /** Gives back what allocate() or take() gave. Errors: NOT_MAPPED. */
  release(range: IovaRange): void {
    const extent = takeBack(range, this);
    if (extent === NO_EXTENT) throw notTaken();
    if (extent < 0) {
      this.#identities[~extent] = null;
      return;
    }
    const start = this.#extents.start(extent) * PAGE;
    const end = start + this.#extents.length(extent) * PAGE;
    this.#extents.free(extent);
    // Given out before restrict() took these addresses away.
    if (!contains(this.#usable, start, end)) this.#extents.confine(toPages(this.#usable));
  }

  #rangeOf(extent: number): Range {
    if (extent < 0) return this.#identities[~extent]!;
    const start = this.#extents.start(extent) * PAGE;
    return { start, end: start + this.#extents.length(extent) * PAGE };
  }
}

function noIova(size: number): P2pError {
  return new P2pError("NO_IOVA", `no ${size} bytes of IOVA space are left`, {
    hint: "close buffers that are no longer needed",
  });
}

function notTaken(): P2pError {
  return new P2pError("NOT_MAPPED", "this range of IOVAs was released, or is another allocator's", {
    hint: "release a range once, where it was allocated",
  });
}

function toRanges(ranges: readonly { first: number; last: number }[]): Range[] {
  return merge(
    ranges.map(({ first, last }) => ({ start: first, end: Math.min(last + 1, HIGHEST) })),
  );
}

/** The whole pages inside of them. */
function toPages(ranges: readonly Range[]): Range[] {
  return ranges
    .map(({ start, end }) => ({ start: Math.ceil(start / PAGE), end: Math.floor(end / PAGE) }))
    .filter(({ start, end }) => start < end);
}
