import assert from "node:assert/strict";
import fc from "fast-check";
import { Random } from "#lib/perf/random.js";

describe("the random numbers of perf", () => {
  it("are xoshiro128++", () => {
    // Its reference implementation from the state that splitmix32 makes of 0, with 64-bit arithmetic.
    const random = new Random(0);
    const state = Uint32Array.from((random as unknown as { state: Int32Array }).state);
    const rotate = (x: bigint, k: bigint): bigint => ((x << k) | (x >> (32n - k))) & 0xffffffffn;
    const s = Array.from(state, BigInt) as [bigint, bigint, bigint, bigint];
    for (let n = 0; n < 1000; n++) {
      const expected = (rotate((s[0] + s[3]) & 0xffffffffn, 7n) + s[0]) & 0xffffffffn;
      const t = (s[1] << 9n) & 0xffffffffn;
      s[2] ^= s[0];
      s[3] ^= s[1];
      s[1] ^= s[2];
      s[0] ^= s[3];
      s[2] ^= t;
      s[3] = rotate(s[3], 11n);
      assert.equal(random.next() >>> 0, Number(expected));
    }
  });

  it("are the same for the same seed, and others for its neighbour", () => {
    const first = (seed: number): number[] => {
      const random = new Random(seed);
      return Array.from({ length: 8 }, () => random.next());
    };
    assert.deepEqual(first(7), first(7));
    const other = new Set(first(8));
    assert.ok(first(7).every((word) => !other.has(word)));
  });

  it("stay below any count", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer({ min: 1, max: 2 ** 48 }), (seed, count) => {
        const random = new Random(seed);
        for (let n = 0; n < 20; n++) {
          const value = random.below(count);
          assert.ok(Number.isInteger(value) && value >= 0 && value < count, `${value} of ${count}`);
        }
      }),
    );
  });

  it("stay below it with the largest bits that can be drawn", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 53 - 1 }), (count) => {
        const random = new Random(1);
        random.next = () => -1;
        assert.ok(random.below(count) < count);
      }),
    );
  });

  it("fall evenly on a count of no round number", () => {
    const COUNT = 1000;
    const DRAWS = 2_000_000;
    const random = new Random(3);
    const hits = new Float64Array(COUNT);
    for (let n = 0; n < DRAWS; n++) hits[random.below(COUNT)]!++;
    const expected = DRAWS / COUNT;
    // Chi squared of 999 degrees of freedom: beyond 1200 less than once in 100,000 seeds.
    const chi2 = hits.reduce((sum, hit) => sum + (hit - expected) ** 2 / expected, 0);
    assert.ok(chi2 < 1200, `chi squared ${chi2}`);
  });

  it("favour no half of a space of blocks above 2**32", () => {
    const random = new Random(5);
    const COUNT = 2 ** 33 + 2 ** 32; // a remainder of 32 bits would leave two thirds empty
    const thirds = [0, 0, 0];
    for (let n = 0; n < 30_000; n++) thirds[Math.floor((3 * random.below(COUNT)) / COUNT)]!++;
    for (const third of thirds) assert.ok(Math.abs(third - 10_000) < 500, String(thirds));
  });
});
