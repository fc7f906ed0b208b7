import assert from "node:assert/strict";
import { CopyLimit, median } from "#lib/bench/limit.js";

describe("median", () => {
  it("is the middle one, or between the two in the middle, whatever their order", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([10, 1, 2, 100]), 6);
    assert.equal(median([5]), 5);
    assert.ok(Number.isNaN(median([])));
  });
});

describe("the limit that loopback runs are held against", () => {
  it("is measured also where the last block is short, and one block is all there is", () => {
    for (const [range, bs, iodepth] of [
      [1 << 20, 4096, 8],
      [100 << 10, 64 << 10, 4],
      [4096, 128 << 10, 1],
    ] as const) {
      const limit = new CopyLimit(range, bs * iodepth);
      try {
        assert.ok(limit.sample(bs, iodepth) > 0);
      } finally {
        limit.close();
        limit.close();
      }
    }
  });
});
