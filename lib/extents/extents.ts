import { LengthIndex, NO_SLOT } from "./length-index.js";
import { merge, type Range } from "./ranges.js";

/** No extent: there was no room. */
export const NO_EXTENT = 0;

/** The links of an extent: four 32-bit integers. */
const LINKS = 4;
/** Neighbours by address, free or not; 0 where there is none. */
const BEFORE = 0;
const AFTER = 1;
/**
 * In a list of free extents of one length: the one before (above 0), or, in its first, minus 1 minus
 * the length's slot in the index. 0: not free.
 */
const PREVIOUS = 2;
/** In such a list: the one after, or 0. Unused record: the next unused one. */
const NEXT = 3;
/** Where an extent lies: two doubles. */
const SPAN = 2;
const START = 0;
const LENGTH = 1;
const FIRST_RECORDS = 64;

/**
 * An allocator of ranges of pages, of whatever the pages are. Best fit: an allocation comes from the
 * smallest free extent that has room for it, which keeps the large ones whole; what is freed is
 * joined with its free neighbours at once.
 *
 * The extents, free and not, are numbers, and each is linked with its neighbours by address, so that
 * joining looks at two others and needs no search. Free ones are also in a list of those of the same
 * length, and a {@link LengthIndex} finds the list. So no operation depends on how many extents there
 * are, but for confine(), and for alloc() with an alignment that is hard to meet.
 *
 * What counts with many of them is how much memory each operation has to fetch: so the links, which
 * alone are read of a neighbour that is not free, lie in an array of their own, 16 bytes an extent.
 *
 * All figures are in pages, integers up to 2^45.
 */
export class Extents {
  readonly #index = new LengthIndex();
  #links = new Int32Array(FIRST_RECORDS * LINKS);
  #spans = new Float64Array(FIRST_RECORDS * SPAN);
  /** Record 0 is never used: 0 stands for none. */
  #records = 1;
  #unused = 0;
  #available = 0;
  #count = 0;

  /** `ranges`: what is free at first; sorted, disjoint, not adjacent. */
  constructor(ranges: readonly Range[]) {
    // From the top, so that among equal ones the lowest is first in its list.
    for (const { start, end } of [...ranges].reverse()) {
      this.#available += end - start;
      this.#enlist(this.#newRecord(start, end - start));
    }
  }

  /** Pages that are free. */
  get available(): number {
    return this.#available;
  }

  /** Pages of the longest free extent. */
  get largest(): number {
    const slot = this.#index.greatest();
    return slot === NO_SLOT ? 0 : this.length(this.#index.id(slot));
  }

  /** Extents that are allocated. */
  get count(): number {
    return this.#count;
  }

  start(extent: number): number {
    return this.#spans[extent * SPAN + START]!;
  }

  length(extent: number): number {
    return this.#spans[extent * SPAN + LENGTH]!;
  }

  /**
   * A number that stands for `length` pages until they are freed, or NO_EXTENT. `alignment`: of the
   * first page, a power of two.
   */
  alloc(length: number, alignment = 1): number {
    let extent = this.#firstOf(length);
    if (extent === NO_EXTENT) return NO_EXTENT;
    let start = this.start(extent);
    if (alignment > 1) {
      extent = this.#findAligned(extent, length, alignment);
      if (extent === NO_EXTENT) return NO_EXTENT;
      start = alignUp(this.start(extent), alignment);
    }
    this.#carve(extent, start, length);
    this.#count++;
    return extent;
  }

  /**
   * The same, of just these pages: NO_EXTENT where one of them is not free. Takes time by the number
   * of extents.
   */
  allocAt(start: number, length: number): number {
    for (let extent = 1; extent < this.#records; extent++) {
      if (!this.#isFree(extent) || start < this.start(extent)) continue;
      if (start + length > this.start(extent) + this.length(extent)) continue;
      this.#carve(extent, start, length);
      this.#count++;
      return extent;
    }
    return NO_EXTENT;
  }

  /** What is free, by address. Takes time by the number of extents. */
  freeRanges(): Range[] {
    const ranges: Range[] = [];
    for (let extent = 1; extent < this.#records; extent++) {
      const start = this.start(extent);
      if (this.#isFree(extent)) ranges.push({ start, end: start + this.length(extent) });
    }
    return merge(ranges);
  }

  /** `extent`: what alloc() or allocAt() gave, and has not been freed since; this is not checked. */
  free(extent: number): void {
    const links = this.#links;
    const spans = this.#spans;
    const before = links[extent * LINKS + BEFORE]!;
    const after = links[extent * LINKS + AFTER]!;
    // Both are read before either is looked at, so that the processor waits for memory once.
    const beforeList = links[before * LINKS + PREVIOUS]!;
    const afterList = links[after * LINKS + PREVIOUS]!;
    let length = spans[extent * SPAN + LENGTH]!;
    this.#available += length;
    this.#count--;
    if (afterList !== 0) {
      this.#delist(after);
      length += spans[after * SPAN + LENGTH]!;
      this.#link(extent, links[after * LINKS + AFTER]!);
      this.#recycle(after);
    }
    if (beforeList !== 0) {
      this.#delist(before);
      length += spans[before * SPAN + LENGTH]!;
      this.#link(before, links[extent * LINKS + AFTER]!);
      this.#recycle(extent);
      extent = before;
    }
    spans[extent * SPAN + LENGTH] = length;
    this.#enlist(extent);
  }

  /**
   * Withdraws for ever what is free outside of `ranges` (sorted, disjoint). Takes time by the number
   * of extents.
   */
  confine(ranges: readonly Range[]): void {
    let end = Infinity;
    for (const range of [...ranges].reverse()) {
      this.#withdraw(range.end, end);
      end = range.start;
    }
    this.#withdraw(0, end);
  }

  #withdraw(start: number, end: number): void {
    for (let extent = 1; extent < this.#records; extent++) {
      if (!this.#isFree(extent)) continue;
      const first = Math.max(start, this.start(extent));
      const last = Math.min(end, this.start(extent) + this.length(extent));
      // What is left on either side does not overlap: whether this loop meets it, too, is the same.
      if (first < last) this.#carve(extent, first, last - first);
    }
  }

  /**
   * A free extent with `length` aligned pages in it. `best` is one of the shortest that are long
   * enough: often it was left by an allocation of the same kind, and fits. Then the shortest that
   * fits wherever it starts; and only if there is none, any that does.
   */
  #findAligned(best: number, length: number, alignment: number): number {
    if (this.#fits(best, length, alignment)) return best;
    const sure = this.#firstOf(length + alignment - 1);
    if (sure !== NO_EXTENT) return sure;
    for (let first = best; first !== NO_EXTENT; first = this.#firstOf(this.length(first) + 1))
      for (let extent = first; extent !== 0; extent = this.#links[extent * LINKS + NEXT]!)
        if (this.#fits(extent, length, alignment)) return extent;
    return NO_EXTENT;
  }

  /** The first in the list of the shortest free extents of at least `length` pages, or NO_EXTENT. */
  #firstOf(length: number): number {
    const slot = this.#index.ceiling(length);
    return slot === NO_SLOT ? NO_EXTENT : this.#index.id(slot);
  }

  #isFree(extent: number): boolean {
    return this.#links[extent * LINKS + PREVIOUS] !== 0;
  }

  #fits(extent: number, length: number, alignment: number): boolean {
    const start = this.start(extent);
    return alignUp(start, alignment) + length <= start + this.length(extent);
  }

  /** Makes a free extent one that is not, of `length` pages from `start`; what is left stays free. */
  #carve(extent: number, start: number, length: number): void {
    this.#delist(extent);
    this.#available -= length;
    const from = this.start(extent);
    const rest = from + this.length(extent) - (start + length);
    if (rest > 0) {
      const after = this.#newRecord(start + length, rest);
      this.#link(after, this.#links[extent * LINKS + AFTER]!);
      this.#link(extent, after);
      this.#enlist(after);
    }
    if (start > from) {
      const before = this.#newRecord(from, start - from);
      this.#link(this.#links[extent * LINKS + BEFORE]!, before);
      this.#link(before, extent);
      this.#enlist(before);
    }
    this.#spans[extent * SPAN + START] = start;
    this.#spans[extent * SPAN + LENGTH] = length;
  }

  /** Makes them neighbours. Record 0 takes the links of what has none. */
  #link(before: number, after: number): void {
    this.#links[before * LINKS + AFTER] = after;
    this.#links[after * LINKS + BEFORE] = before;
  }

  /** Puts a free extent first in the list of its length. */
  #enlist(extent: number): void {
    const index = this.#index;
    const slot = index.add(this.#spans[extent * SPAN + LENGTH]!);
    const next = index.id(slot);
    index.setId(slot, extent);
    const links = this.#links;
    links[extent * LINKS + PREVIOUS] = ~slot;
    links[extent * LINKS + NEXT] = next;
    if (next !== 0) links[next * LINKS + PREVIOUS] = extent;
  }

  #delist(extent: number): void {
    const links = this.#links;
    const previous = links[extent * LINKS + PREVIOUS]!;
    const next = links[extent * LINKS + NEXT]!;
    links[extent * LINKS + PREVIOUS] = 0;
    if (next !== 0) links[next * LINKS + PREVIOUS] = previous;
    if (previous > 0) links[previous * LINKS + NEXT] = next;
    else if (next !== 0) this.#index.setId(~previous, next);
    else this.#index.remove(~previous);
  }

  /** A record without neighbours, in no list. */
  #newRecord(start: number, length: number): number {
    let extent = this.#unused;
    if (extent !== 0) this.#unused = this.#links[extent * LINKS + NEXT]!;
    else {
      extent = this.#records++;
      if (extent * LINKS === this.#links.length) this.#grow();
    }
    const links = this.#links;
    links[extent * LINKS + BEFORE] = 0;
    links[extent * LINKS + AFTER] = 0;
    links[extent * LINKS + PREVIOUS] = 0;
    this.#spans[extent * SPAN + START] = start;
    this.#spans[extent * SPAN + LENGTH] = length;
    return extent;
  }

  #recycle(extent: number): void {
    this.#links[extent * LINKS + NEXT] = this.#unused;
    this.#unused = extent;
  }

  #grow(): void {
    const links = new Int32Array(2 * this.#links.length);
    links.set(this.#links);
    this.#links = links;
    const spans = new Float64Array(2 * this.#spans.length);
    spans.set(this.#spans);
    this.#spans = spans;
  }
}

function alignUp(page: number, alignment: number): number {
  return Math.ceil(page / alignment) * alignment;
}
