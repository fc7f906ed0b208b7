import assert from "node:assert/strict";
import fc from "fast-check";
import { build } from "hdr-histogram-js";
import { Histogram } from "#lib/reactor/histogram.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";

const PERCENTILES = [0, 1, 50, 90, 99, 99.9, 99.99, 100];

/** Latencies from nanoseconds to minutes, every magnitude equally likely. */
const latency = fc
  .tuple(
    fc.integer({ min: 0, max: 38 }),
    fc.double({ min: 1, max: 2, noNaN: true, maxExcluded: true }),
  )
  .map(([exponent, mantissa]) => Math.floor(mantissa * 2 ** exponent));

function histogramOf(values: number[]): Histogram {
  const histogram = new Histogram();
  for (const value of values) histogram.record(value);
  return histogram;
}

describe("latency histogram", () => {
  it("agrees with HdrHistogram on every percentile to within 1 %", () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 500 }), (values) => {
        const oracle = build({
          bitBucketSize: 64,
          highestTrackableValue: 2 ** 40,
          numberOfSignificantValueDigits: 4,
        });
        for (const value of values) oracle.recordValue(value);
        const histogram = histogramOf(values);
        for (const p of PERCENTILES) {
          const expected = oracle.getValueAtPercentile(p);
          const error = Math.abs(histogram.percentile(p) - expected);
          assert.ok(
            error <= expected * 0.01 + 1,
            `p${p}: ${histogram.percentile(p)}, not ${expected}`,
          );
        }
      }),
    );
  });

  it("tells of each bucket that counted, in order, so that all values lie in one", () => {
    fc.assert(
      fc.property(fc.array(latency, { maxLength: 300 }), (values) => {
        const left = [...values].sort((a, b) => a - b);
        let before = -1;
        histogramOf(values).forEachBucket((lowest, highest, count) => {
          assert.ok(lowest > before && highest >= lowest);
          before = highest;
          const inside = left.splice(0, count);
          assert.equal(inside.length, count);
          for (const value of inside) assert.ok(value >= lowest && value <= highest);
        });
        assert.deepEqual(left, []);
      }),
    );
  });

  it("forgets all when it is cleared", () => {
    const histogram = histogramOf([1, 1000, 2 ** 40]);
    histogram.clear();
    assert.equal(histogram.count, 0);
    assert.ok(Number.isNaN(histogram.max));
    histogram.record(5);
    assert.deepEqual([histogram.min, histogram.max, histogram.mean], [5, 5, 5]);
  });

  it("never shows a percentile below the exact one, nor more than 1/128 above", () => {
    fc.assert(
      fc.property(
        fc.array(latency, { minLength: 1, maxLength: 300 }),
        fc.double({ min: 0, max: 100, noNaN: true }),
        (values, percent) => {
          const sorted = [...values].sort((a, b) => a - b);
          const rank = Math.max(1, Math.ceil((percent / 100) * values.length - 1e-6));
          const exact = sorted[rank - 1]!;
          const shown = histogramOf(values).percentile(percent);
          assert.ok(shown >= exact && shown <= exact * (1 + 1 / 128), `${shown} for ${exact}`);
        },
      ),
    );
  });

  it("agrees with HdrHistogram on 10 million latencies, merged from four threads' parts", () => {
    const oracle = build({
      bitBucketSize: 64,
      highestTrackableValue: 2 ** 40,
      numberOfSignificantValueDigits: 3,
    });
    const parts = [0, 1, 2, 3].map(() => new Histogram());
    const random = randomNumbers(1);
    for (let i = 0; i < 10_000_000; i++) {
      // A body of some microseconds, and a tail that reaches to seconds, as devices have it.
      const value = Math.floor(3000 + 2000 * random() + 500 / (1 - random()) ** 1.1);
      oracle.recordValue(value);
      parts[i & 3]!.record(value);
    }
    const whole = new Histogram();
    for (const part of parts) whole.merge(part);
    assert.equal(whole.count, 10_000_000);
    for (const p of [0, 1, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100]) {
      const [ours, theirs] = [whole.percentile(p), oracle.getValueAtPercentile(p)];
      assert.ok(Math.abs(ours - theirs) <= 0.01 * theirs, `p${p}: ${ours}, not ${theirs}`);
    }
    assert.ok(Math.abs(whole.mean - oracle.mean) <= 0.01 * oracle.mean);
    assert.ok(Math.abs(whole.stddev - oracle.stdDeviation) <= 0.01 * oracle.stdDeviation);
  });

  it("has the standard deviation of what it counted, but for the width of its buckets", () => {
    assert.equal(histogramOf([1234]).stddev, 0);
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (values) => {
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
        const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
        const exact = Math.sqrt(squares / values.length);
        const shown = histogramOf(values).stddev;
        assert.ok(Math.abs(shown - exact) <= Math.max(...values) / 128 + 1, `${shown}, ${exact}`);
      }),
    );
  });

  it("keeps count, least, greatest and mean exactly", () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 300 }), (values) => {
        const histogram = histogramOf(values);
        assert.equal(histogram.count, values.length);
        assert.equal(histogram.min, Math.min(...values));
        assert.equal(histogram.max, Math.max(...values));
        assert.equal(histogram.mean, values.reduce((sum, value) => sum + value, 0) / values.length);
      }),
    );
  });

  it("is the same after a merge as if one had recorded all", () => {
    fc.assert(
      fc.property(fc.array(latency), fc.array(latency), (left, right) => {
        const merged = histogramOf(left);
        merged.merge(histogramOf(right));
        const whole = histogramOf([...left, ...right]);
        assert.equal(merged.count, whole.count);
        if (whole.count === 0) return;
        assert.deepEqual([merged.min, merged.max], [whole.min, whole.max]);
        for (const p of PERCENTILES) assert.equal(merged.percentile(p), whole.percentile(p));
      }),
    );
  });

  it("reads through another histogram over the same shared buffer", () => {
    const shared = new SharedArrayBuffer(Histogram.byteLength);
    new Histogram(shared).record(1234);
    const reader = new Histogram(shared);
    assert.equal(reader.count, 1);
    assert.equal(reader.percentile(50), 1234);
  });

  it("is exact below 256 ns, and at both sides of every octave", () => {
    for (let value = 0; value < 256; value++) {
      const histogram = histogramOf([value, 2 ** 40]);
      assert.equal(histogram.percentile(50), value);
    }
    for (let exponent = 8; exponent < 47; exponent++) {
      const edge = 2 ** exponent;
      assert.equal(histogramOf([edge - 1, edge, edge]).percentile(1), edge - 1);
    }
  });

  it("says NaN, not zero, where nothing was recorded", () => {
    const empty = new Histogram();
    assert.equal(empty.count, 0);
    for (const value of [empty.min, empty.max, empty.mean, empty.stddev, empty.percentile(50)])
      assert.ok(Number.isNaN(value));
  });

  it("clamps what it cannot hold instead of writing past its buckets", () => {
    const histogram = histogramOf([-5, 2 ** 60, Infinity]);
    assert.equal(histogram.count, 3);
    assert.equal(histogram.min, 0);
    assert.equal(histogram.max, 2 ** 47 - 1);
    assert.equal(histogram.percentile(100), 2 ** 47 - 1);
  });
});
