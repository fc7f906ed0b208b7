import assert from "node:assert/strict";
import type { Range } from "#lib/extents/ranges.js";
import { subtract } from "#lib/extents/ranges.js";

const length = ({ start, end }: Range): number => end - start;

/** What an allocator of ranges should do, in the simplest way: a sorted list, searched from its start. */
export class NaiveExtents {
  /** Sorted, never adjacent. */
  free: Range[];

  constructor(free: readonly Range[]) {
    this.free = [...free];
  }

  get available(): number {
    return this.free.reduce((sum, range) => sum + length(range), 0);
  }

  get largest(): number {
    return Math.max(0, ...this.free.map(length));
  }

  /** True where some free range has `size` aligned units in it. */
  hasRoom(size: number, alignment: number): boolean {
    return this.free.some(
      ({ start, end }) => Math.ceil(start / alignment) * alignment + size <= end,
    );
  }

  /**
   * Marks what an allocator gave, which must be free; where `isBest` one of the smallest free ranges
   * that have room for it.
   */
  take(start: number, size: number, isBest: boolean): void {
    const taken = { start, end: start + size };
    const at = this.free.findIndex((range) => range.start <= start && taken.end <= range.end);
    const from = this.free[at];
    assert.ok(from, `[${taken.start}, ${taken.end}) was not free`);
    if (isBest)
      assert.equal(length(from), Math.min(...this.free.map(length).filter((room) => room >= size)));
    this.free.splice(at, 1, ...subtract(from, [taken]));
  }

  /** Gives a range back, and joins it with its neighbours. */
  give(start: number, size: number): void {
    const at = this.free.filter((range) => range.start < start).length;
    const before = this.free[at - 1];
    const after = this.free[at];
    const joinsBefore = before?.end === start;
    const joinsAfter = after?.start === start + size;
    const joined = {
      start: joinsBefore ? before.start : start,
      end: joinsAfter ? after.end : start + size,
    };
    const first = joinsBefore ? at - 1 : at;
    this.free.splice(first, Number(joinsBefore) + Number(joinsAfter), joined);
  }
}
