import assert from "node:assert/strict";
import fc from "fast-check";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { theilSenSlope, trendProbability } from "#lib/stats/trend.js";

const seconds = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** The oracle: of all orders of the values, the share whose score is at least as far from 0. */
function shareOfOrders(values: readonly number[]): number {
  const score = (order: readonly number[]): number =>
    Math.abs(order.flatMap((b, at) => order.slice(0, at).map((a) => Math.sign(b - a))).reduce(sum));
  const sum = (a: number, b: number): number => a + b;
  const orders = (left: readonly number[]): number[][] =>
    left.length === 0
      ? [[]]
      : left.flatMap((first, at) =>
          orders(left.filter((_, index) => index !== at)).map((rest) => [first, ...rest]),
        );
  const all = orders(values);
  return all.filter((order) => score(order) >= score(values)).length / all.length;
}

describe("slope after Theil and Sen", () => {
  it("is a line's own, whatever line it is", () => {
    const small = fc.integer({ min: -1000, max: 1000 });
    fc.assert(
      fc.property(small, small, fc.integer({ min: 2, max: 20 }), (slope, start, count) => {
        const values = seconds(count).map((time) => start + slope * time);
        assert.equal(theilSenSlope(seconds(count), values), slope);
      }),
    );
  });

  it("does not care about an outlier, which would turn the line of least squares", () => {
    assert.equal(theilSenSlope(seconds(7), [0, 1, 2, 1000, 4, 5, 6]), 1);
  });

  it("is unknown of one sample", () => {
    assert.ok(Number.isNaN(theilSenSlope([1], [1])));
  });
});

describe("test of Mann and Kendall", () => {
  it("has the probabilities of Kendall's table", () => {
    const p = (values: number[]): number => Number(trendProbability(values).toFixed(4));
    assert.equal(p([1, 2, 3]), 0.3333);
    assert.equal(p([1, 2, 3, 4]), 0.0833);
    assert.equal(p([5, 4, 3, 2, 1]), 0.0167);
    assert.equal(p([1, 2, 3, 5, 4]), 0.0833);
    assert.equal(p([1, 2, 3, 4, 5, 6]), 0.0028);
  });

  it("counts of all orders those that are at least as steady", () => {
    const random = randomNumbers(5);
    for (let i = 0; i < 2; i++) {
      const values = Array.from({ length: 7 }, random);
      assert.ok(Math.abs(trendProbability(values) - shareOfOrders(values)) < 1e-9);
    }
  });

  it("sees no trend where there is none to see", () => {
    for (const values of [[], [1], [3, 3, 3, 3], [1, 2, 1, 2, 1]])
      assert.ok(trendProbability(values) > 0.5, String(values));
  });

  for (const count of [5, 10, 20, 40])
    it(`takes no more of ${count} trendless samples for a trend than it says`, () => {
      const random = randomNumbers(7);
      let alarms = 0;
      for (let i = 0; i < 4000; i++)
        if (trendProbability(Array.from({ length: count }, random)) < 0.05) alarms++;
      assert.ok(alarms / 4000 < 0.06, `${alarms}`);
      assert.ok(alarms / 4000 > 0.01, `${alarms}`);
    });

  it("finds a small drift in noise, from enough samples", () => {
    const random = randomNumbers(3);
    const values = seconds(40).map((time) => 100 - 0.2 * time + 4 * random());
    assert.ok(trendProbability(values) < 0.01);
  });

  it("is the same up to 20 samples, exactly, and beyond, nearly", () => {
    const random = randomNumbers(11);
    const values = seconds(20).map((time) => time / 12 + 2 * random());
    const exact = trendProbability(values);
    // One more pair of equal samples in the middle makes it the approximation.
    const tied = [...values];
    tied[11] = tied[10]!;
    assert.ok(Math.abs(trendProbability(tied) - exact) < 0.02, `${exact}`);
  });
});
