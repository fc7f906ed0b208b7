import assert from "node:assert/strict";
import fc from "fast-check";
import { LengthIndex, NO_SLOT } from "#lib/extents/length-index.js";

/** Of every number of digits, many of them near each other. */
const length = fc.oneof(
  fc.integer({ min: 1, max: 100 }),
  fc.integer({ min: 1, max: 2 ** 20 }),
  fc.tuple(fc.integer({ min: 0, max: 45 }), fc.integer({ min: -2, max: 2 })).map(([bits, more]) => {
    return Math.min(Math.max(2 ** bits + more, 1), 2 ** 45);
  }),
  fc.integer({ min: 1, max: 2 ** 45 }),
);

describe("LengthIndex", () => {
  it("is empty at first", () => {
    const index = new LengthIndex();
    assert.equal(index.ceiling(1), NO_SLOT);
    assert.equal(index.greatest(), NO_SLOT);
  });

  it("finds the smallest length of at least n, and the greatest, as a sorted list does", () => {
    const steps = fc.array(fc.tuple(fc.boolean(), length, length), { maxLength: 300, size: "max" });
    fc.assert(
      fc.property(steps, (all) => {
        const index = new LengthIndex();
        const ids = new Map<number, number>();
        let lastId = 0;
        for (const [isAdd, changed, asked] of all) {
          const near = [...ids.keys()].find((known) => known >= changed) ?? changed;
          if (isAdd) {
            const slot = index.add(changed);
            assert.equal(index.id(slot), ids.get(changed) ?? 0);
            ids.set(changed, ++lastId);
            index.setId(slot, lastId);
          } else if (ids.delete(near)) index.remove(index.ceiling(near));
          const sorted = [...ids.keys()].sort((a, b) => a - b);
          const ceiling = sorted.find((known) => known >= asked);
          const found = index.ceiling(asked);
          assert.equal(found === NO_SLOT ? undefined : index.id(found), ids.get(ceiling ?? -1));
          const greatest = index.greatest();
          assert.equal(
            greatest === NO_SLOT ? undefined : index.id(greatest),
            ids.get(sorted.at(-1) ?? -1),
          );
        }
      }),
    );
  });
});
