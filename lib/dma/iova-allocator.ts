import { P2pError } from "../errors.js";
import { toIova, type Iova } from "./iova.js";

/** [start, end) */
interface Extent {
  start: number;
  end: number;
}

/** The first MiB is left alone: an IOVA of 0 is too easily a mistake. */
const LOWEST = 2 ** 20;
/** Beyond, an address is no safe integer. */
const HIGHEST = 2 ** 52;

/**
 * Gives out IOVAs: first fit from below, freed ranges are used again. It keeps clear of every bus
 * address that some bridge window or BAR answers to, because below a switch without redirect such
 * an IOVA would reach a stranger's BAR (as the kernel's own DMA layer does:
 * linux/drivers/iommu/dma-iommu.c, iova_reserve_pci_windows). Only take() may use those, for the
 * deliberate identity mapping of a peer's BAR.
 */
export class IovaAllocator {
  /** Free for allocate(): sorted, disjoint, never adjacent. */
  readonly #free: Extent[];
  #usable: readonly Extent[];
  readonly #taken = new Map<number, Extent & { isIdentity: boolean }>();

  /** `usable`: what the IOMMU can map, ends inclusive; `busRanges`: addresses to keep clear of. */
  constructor(
    usable: readonly { first: number; last: number }[],
    busRanges: readonly { start: number; size: number }[],
  ) {
    this.#usable = toExtents(usable);
    const busy = merge([
      { start: 0, end: LOWEST },
      ...busRanges.map(({ start, size }) => ({ start, end: start + size })),
    ]);
    this.#free = this.#usable.flatMap((range) => subtract(range, busy));
  }

  /**
   * The IOMMU can map less than before, as with each device that is attached it may. What has been
   * given out stays.
   */
  restrict(usable: readonly { first: number; last: number }[]): void {
    this.#usable = toExtents(usable);
    const rest = this.#free.flatMap((extent) =>
      this.#usable
        .map(({ start, end }) => ({
          start: Math.max(start, extent.start),
          end: Math.min(end, extent.end),
        }))
        .filter(({ start, end }) => start < end),
    );
    this.#free.splice(0, this.#free.length, ...rest);
  }

  /** `size` and `alignment` in bytes; `alignment` a power of two. Errors: NO_IOVA. */
  allocate(size: number, alignment: number): Iova {
    for (const [index, extent] of this.#free.entries()) {
      const start = Math.ceil(extent.start / alignment) * alignment;
      const end = start + size;
      if (end > extent.end) continue;
      const rest = [
        { start: extent.start, end: start },
        { start: end, end: extent.end },
      ].filter((part) => part.end > part.start);
      this.#free.splice(index, 1, ...rest);
      this.#taken.set(start, { start, end, isIdentity: false });
      return toIova(start);
    }
    throw new P2pError("NO_IOVA", `no ${size} bytes of IOVA space are left`, {
      hint: "close buffers that are no longer needed",
    });
  }

  /**
   * Takes exactly [address, address + size), which must be bus addresses. False where they are not,
   * where the IOMMU cannot map them, or where they are taken.
   */
  take(address: number, size: number): boolean {
    const end = address + size;
    if (!this.#usable.some((range) => address >= range.start && end <= range.end)) return false;
    const overlaps = (extent: Extent): boolean => address < extent.end && extent.start < end;
    if (this.#free.some(overlaps) || [...this.#taken.values()].some(overlaps)) return false;
    this.#taken.set(address, { start: address, end, isIdentity: true });
    return true;
  }

  /** Gives back what allocate() or take() gave. Errors: NOT_MAPPED. */
  release(address: number): void {
    const taken = this.#taken.get(address);
    if (!taken) throw new P2pError("NOT_MAPPED", `IOVA 0x${address.toString(16)} was not taken`);
    this.#taken.delete(address);
    // An identity range is a bus range: never free for allocate().
    if (taken.isIdentity) return;
    const next = this.#free.findIndex((extent) => extent.start > taken.start);
    const at = next < 0 ? this.#free.length : next;
    const before = this.#free[at - 1];
    const after = this.#free[at];
    const joinsBefore = before?.end === taken.start;
    const joinsAfter = after?.start === taken.end;
    const joined = {
      start: joinsBefore ? before.start : taken.start,
      end: joinsAfter ? after.end : taken.end,
    };
    this.#free.splice(at - (joinsBefore ? 1 : 0), Number(joinsBefore) + Number(joinsAfter), joined);
  }
}

function toExtents(ranges: readonly { first: number; last: number }[]): Extent[] {
  return merge(
    ranges.map(({ first, last }) => ({ start: first, end: Math.min(last + 1, HIGHEST) })),
  );
}

/** Sorted, overlapping and adjacent ones joined. */
function merge(extents: readonly Extent[]): Extent[] {
  const merged: Extent[] = [];
  for (const extent of [...extents].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last && extent.start <= last.end) last.end = Math.max(last.end, extent.end);
    else merged.push({ ...extent });
  }
  return merged;
}

/** What is left of `extent` without the sorted, disjoint `holes`. */
function subtract(extent: Extent, holes: readonly Extent[]): Extent[] {
  const rest: Extent[] = [];
  let start = extent.start;
  for (const hole of holes) {
    if (hole.end <= start || hole.start >= extent.end) continue;
    if (hole.start > start) rest.push({ start, end: hole.start });
    start = hole.end;
  }
  if (start < extent.end) rest.push({ start, end: extent.end });
  return rest;
}
