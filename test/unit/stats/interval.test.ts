import assert from "node:assert/strict";
import fc from "fast-check";
import { medianInterval } from "#lib/stats/interval.js";
import { median, medianOfSorted } from "#lib/stats/median.js";
import { bootstrapInterval } from "#lib/stats/bootstrap.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";

/** Samples of known distributions, with their true medians. */
const DISTRIBUTIONS: Record<string, { draw: (uniform: number) => number; median: number }> = {
  uniform: { draw: (u) => u, median: 0.5 },
  exponential: { draw: (u) => -Math.log(1 - u), median: Math.LN2 },
  // Heavy tails: not even a mean.
  cauchy: { draw: (u) => Math.tan(Math.PI * (u - 0.5)), median: 0 },
};

/** How often, of so many draws, `covers` says that an interval holds what it should. */
function coverage(draws: number, covers: (random: () => number) => boolean): number {
  const random = randomNumbers(42);
  let held = 0;
  for (let i = 0; i < draws; i++) if (covers(random)) held++;
  return held / draws;
}

describe("median", () => {
  it("is the middle one, or between the two in the middle, whatever their order", () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([10, 1, 2, 100]), 6);
    assert.equal(median([5]), 5);
    assert.ok(Number.isNaN(median([])));
  });

  it("leaves the samples in their order", () => {
    const samples = [3, 1, 2];
    median(samples);
    assert.deepEqual(samples, [3, 1, 2]);
  });
});

describe("interval of the median", () => {
  it("has the ranks and the confidence of the tables for the sign test", () => {
    const ofCount = (count: number): unknown => {
      const samples = Array.from({ length: count }, (_, index) => index + 1);
      const { low, high, confidence } = medianInterval(samples)!;
      return [low, high, Number(confidence.toFixed(4))];
    };
    assert.deepEqual(ofCount(2), [1, 2, 0.5]);
    assert.deepEqual(ofCount(3), [1, 3, 0.75]);
    assert.deepEqual(ofCount(5), [1, 5, 0.9375]);
    assert.deepEqual(ofCount(6), [1, 6, 0.9688]);
    assert.deepEqual(ofCount(8), [1, 8, 0.9922]);
    assert.deepEqual(ofCount(9), [2, 8, 0.9609]);
    assert.deepEqual(ofCount(20), [6, 15, 0.9586]);
    assert.deepEqual(ofCount(50), [18, 33, 0.9672]);
  });

  it("is none of one sample", () => {
    assert.equal(medianInterval([1]), null);
    assert.equal(medianInterval([]), null);
  });

  it("works for more samples than a double has powers of two", () => {
    const samples = Array.from({ length: 5000 }, (_, index) => index);
    const { low, high, confidence } = medianInterval(samples)!;
    assert.ok(confidence >= 0.95 && confidence < 0.952);
    // The normal approximation: 1.96 times half the root of the count.
    assert.ok(Math.abs(high - low - 1.96 * Math.sqrt(5000)) < 3);
  });

  for (const [name, distribution] of Object.entries(DISTRIBUTIONS))
    for (const count of [3, 5, 7, 20, 50])
      it(`holds the true median as often as it says: ${count} of a ${name} distribution`, () => {
        let claimed = 0;
        const draws = 4000;
        const held = coverage(draws, (random) => {
          const samples = Array.from({ length: count }, () => distribution.draw(random()));
          const { low, high, confidence } = medianInterval(samples)!;
          claimed = confidence;
          return low <= distribution.median && distribution.median <= high;
        });
        const deviation = Math.sqrt((claimed * (1 - claimed)) / draws);
        assert.ok(Math.abs(held - claimed) < 4 * deviation, `${held}, not ${claimed}`);
      });

  it("holds the samples' own median, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, min: -1e9, max: 1e9 }), { minLength: 2 }),
        (samples) => {
          const { low, high } = medianInterval(samples)!;
          assert.ok(low <= median(samples) && median(samples) <= high);
        },
      ),
    );
  });
});

describe("bootstrap", () => {
  const ratio = ([a, b]: readonly Float64Array[]): number =>
    medianOfSorted(a!) / medianOfSorted(b!);

  it("is the same for the same seed, and another for another", () => {
    const groups = [
      [1, 2, 3, 4, 5, 6, 7],
      [2, 3, 5, 7, 11, 13, 17],
    ];
    const of = (seed: number) => bootstrapInterval(groups, ratio, { seed, resamples: 50 });
    assert.deepEqual(of(7), of(7));
    assert.notDeepEqual(of(7), of(8));
  });

  for (const count of [7, 20])
    it(`holds the true ratio of two medians in about 95 of a hundred: ${count} samples each`, () => {
      const held = coverage(1000, (random) => {
        const draw = (mid: number) =>
          Array.from({ length: count }, () => mid * (0.9 + 0.2 * random()));
        const interval = bootstrapInterval([draw(1.3), draw(1)], ratio, { resamples: 400 })!;
        return interval.low <= 1.3 && 1.3 <= interval.high;
      });
      assert.ok(held > 0.92 && held < 0.985, `${held}`);
    });

  it("is none where there is nothing to draw from, or no number comes out", () => {
    assert.equal(bootstrapInterval([[1], [1, 2]], ratio), null);
    assert.equal(
      bootstrapInterval(
        [
          [0, 0],
          [0, 0],
        ],
        ratio,
      ),
      null,
    );
  });
});
