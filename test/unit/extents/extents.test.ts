import assert from "node:assert/strict";
import fc from "fast-check";
import { Extents, NO_EXTENT } from "#lib/extents/extents.js";
import { NaiveExtents } from "../../support/naive-extents.js";

describe("Extents", () => {
  it("takes the shortest extent that is long enough, and the lowest of equal ones", () => {
    const extents = new Extents([
      { start: 10, end: 19 },
      { start: 20, end: 24 },
      { start: 30, end: 34 },
    ]);
    assert.deepEqual(
      [3, 4, 1, 9].map((length) => extents.start(extents.alloc(length))),
      [20, 30, 23, 10],
    );
    assert.equal(extents.alloc(1), NO_EXTENT);
  });

  it("joins what is freed with both neighbours, but not across a gap", () => {
    const extents = new Extents([
      { start: 0, end: 3 },
      { start: 4, end: 6 },
    ]);
    const pages = [3, 1, 1].map((length) => extents.alloc(length));
    assert.equal(extents.largest, 0);
    for (const extent of pages) extents.free(extent);
    assert.equal(extents.largest, 3);
    assert.equal(extents.available, 5);
    assert.equal(extents.count, 0);
  });

  it("finds the one extent in which an aligned allocation happens to fit", () => {
    const extents = new Extents([
      { start: 1, end: 6 },
      { start: 9, end: 14 },
      { start: 16, end: 21 },
      { start: 23, end: 29 },
    ]);
    assert.equal(extents.start(extents.alloc(5, 8)), 16);
    assert.equal(extents.start(extents.alloc(5, 8)), 24);
    assert.equal(extents.alloc(5, 8), NO_EXTENT);
    assert.equal(extents.start(extents.alloc(2, 4)), 4);
  });

  it("uses an aligned extent that was freed again, rather than a longer one", () => {
    const extents = new Extents([{ start: 0, end: 64 }]);
    const [, freed] = [1, 2, 3].map(() => extents.alloc(8, 8));
    extents.free(freed ?? NO_EXTENT);
    assert.equal(extents.start(extents.alloc(8, 8)), 8);
  });

  it("uses the numbers of extents again, however often these were split and joined", () => {
    const extents = new Extents([{ start: 0, end: 64 }]);
    for (let round = 0; round < 100; round++) {
      const all = [3, 5, 7].map((length) => extents.alloc(length, 4));
      for (const index of [1, 0, 2]) extents.free(all[index] ?? NO_EXTENT);
    }
    const pages = Array.from({ length: 64 }, () => extents.alloc(1));
    assert.equal(Math.max(...pages), 64);
  });

  it("withdraws what is outside, also of what is freed later and confined again", () => {
    const extents = new Extents([{ start: 0, end: 100 }]);
    const held = extents.alloc(30);
    const inside = [
      { start: 20, end: 40 },
      { start: 60, end: 70 },
    ];
    extents.confine(inside);
    assert.equal(extents.available, 20);
    extents.free(held);
    extents.confine(inside);
    assert.equal(extents.available, 30);
    assert.equal(extents.largest, 20);
  });

  it("does as a sorted list does, however large the figures are", () => {
    const space = [
      { start: 7, end: 2 ** 21 },
      { start: 2 ** 31 - 5, end: 2 ** 40 + 3 },
      { start: 2 ** 44 - 11, end: 2 ** 45 },
    ];
    const step = fc.record({
      isFree: fc.boolean(),
      which: fc.nat(),
      bits: fc.integer({ min: 0, max: 44 }),
      alignmentBits: fc.constantFrom(0, 0, 0, 1, 9, 18, 30),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
        const extents = new Extents(space);
        const model = new NaiveExtents(space);
        const live: number[] = [];
        const free = (which: number): void => {
          const [extent] = live.splice(which % live.length, 1);
          assert.ok(extent);
          model.give(extents.start(extent), extents.length(extent));
          extents.free(extent);
        };
        for (const { isFree, which, bits, alignmentBits } of steps) {
          if (isFree && live.length > 0) free(which);
          else {
            const length = 1 + Math.floor((which / 2 ** 31) * 2 ** bits);
            const alignment = 2 ** alignmentBits;
            const extent = extents.alloc(length, alignment);
            assert.equal(extent !== NO_EXTENT, model.hasRoom(length, alignment));
            if (extent === NO_EXTENT) continue;
            assert.equal(extents.length(extent), length);
            assert.equal(extents.start(extent) % alignment, 0);
            model.take(extents.start(extent), length, alignment === 1);
            live.push(extent);
          }
          assert.equal(extents.available, model.available);
          assert.equal(extents.largest, model.largest);
          assert.equal(extents.count, live.length);
        }
        while (live.length > 0) free(0);
        assert.deepEqual(model.free, space);
        assert.equal(extents.largest, model.largest);
        assert.equal(extents.available, model.available);
      }),
    );
  });
});
