import assert from "node:assert/strict";
import { CopyLimit } from "#lib/bench/limit.js";

describe("the limit that loopback runs are held against", () => {
  it("is measured also where the last block is short, and one block is all there is", () => {
    for (const [range, bs, iodepth] of [
      [1 << 20, 4096, 8],
      [100 << 10, 64 << 10, 4],
      [4096, 128 << 10, 1],
    ] as const) {
      const limit = new CopyLimit(range, bs * iodepth);
      try {
        assert.ok(limit.sample(range, bs, iodepth) > 0);
      } finally {
        limit.close();
        limit.close();
      }
    }
  });

  it("is measured over the range of each run, and takes no more than a part of a large one", () => {
    const limit = new CopyLimit(2 ** 45, 64 << 10);
    try {
      for (const range of [2 ** 45, 1 << 20, 4096]) assert.ok(limit.sample(range, 4096, 8) > 0);
    } finally {
      limit.close();
    }
  });
});
