import assert from "node:assert/strict";
import fc from "fast-check";
import { choosePieces } from "#lib/proof/memory.js";
import { merge, type Range } from "#lib/extents/ranges.js";

const PAGE = 4096;

/** Ranges and pieces in pages. */
function choose(free: [start: number, end: number][], granule: number, most: number) {
  const bytes = free.map(([start, end]) => ({ start: start * PAGE, end: end * PAGE }));
  const pieces = choosePieces(bytes, granule * PAGE, most * PAGE);
  return pieces && [pieces.size / PAGE, pieces.places.map((place) => place / PAGE)];
}

describe("the places of canaries", () => {
  it("are the start, the middle and the end of what is free", () => {
    assert.deepEqual(choose([[0, 100]], 1, 16), [16, [0, 42, 84]]);
    assert.deepEqual(choose([[8, 20]], 1, 16), [4, [8, 12, 16]]);
  });

  it("are the first and the last by address, wherever the most is free", () => {
    const free: [number, number][] = [
      [3, 5],
      [10, 90],
      [95, 97],
    ];
    assert.deepEqual(choose(free, 1, 1), [1, [3, 49, 96]]);
    assert.deepEqual(choose(free.slice(0, 1).concat(free.slice(2)), 1, 1), [1, [3, 4, 96]]);
  });

  it("are fewer where it is too little for three, and none where it is too little for one", () => {
    assert.deepEqual(choose([[7, 8]], 1, 16), [1, [7]]);
    assert.deepEqual(choose([[7, 9]], 1, 16), [1, [7, 8]]);
    assert.deepEqual(choose([[7, 10]], 2, 16), [2, [7]]);
    assert.equal(choose([[7, 8]], 2, 16), null);
    assert.equal(choose([], 1, 16), null);
  });

  it("are apart, free, and reach both ends of what has room for them", () => {
    const extent = fc.tuple(fc.nat(200), fc.integer({ min: 1, max: 60 }));
    fc.assert(
      fc.property(
        fc.array(extent, { minLength: 1 }),
        fc.constantFrom(1, 2, 4),
        (extents, granule) => {
          const free: Range[] = merge(
            extents.map(([start, pages]) => ({ start: start * PAGE, end: (start + pages) * PAGE })),
          );
          const pieces = choosePieces(free, granule * PAGE, 16 * PAGE);
          const fit = free.filter(
            ({ start, end }) => end - start >= (pieces?.size ?? granule * PAGE),
          );
          if (pieces === null) return fit.length === 0;
          const { size, places } = pieces;
          assert.equal(size % (granule * PAGE), 0);
          assert.equal(places[0], fit[0]!.start);
          if (places.length > 1) assert.equal(places.at(-1)! + size, fit.at(-1)!.end);
          for (const [i, place] of places.entries()) {
            assert.ok(fit.some(({ start, end }) => start <= place && place + size <= end));
            assert.ok(i === 0 || places[i - 1]! + size <= place);
          }
          return true;
        },
      ),
    );
  });
});
