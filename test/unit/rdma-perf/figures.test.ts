import assert from "node:assert/strict";
import fc from "fast-check";
import { shortestInterval } from "#lib/rdma-perf/bandwidth.js";
import { latencyOf } from "#lib/rdma-perf/latency.js";

describe("latency, as perftest reports it", () => {
  /** Times of posting that lie so far apart. */
  const times = (...trips: number[]): Float64Array => {
    let time = 1000;
    return Float64Array.from([time, ...trips.map((trip) => (time += trip))]);
  };

  it("is half of a round trip, or all of it, without the two longest", () => {
    const posted = times(200, 100, 9000, 300, 400, 600);
    const { min, max, typical, mean, stddev, p99, p99_9 } = latencyOf(posted, 2);
    // Sorted, halved: 50, 100, 150, 200, and beyond the tail 300 and 4500.
    assert.deepEqual([min, max, typical, mean], [50, 300, 125, 125]);
    assert.equal(stddev, Math.sqrt((75 ** 2 + 25 ** 2 + 25 ** 2 + 75 ** 2) / 4));
    assert.deepEqual([p99, p99_9], [300, 300]);
    assert.equal(latencyOf(posted, 1).mean, 250);
  });

  it("has the middle one of an odd number of trips as the typical one", () => {
    assert.equal(latencyOf(times(10, 20, 30, 1000, 1000), 1).typical, 20);
  });

  it("takes percentiles from the sorted trips by perftest's ranks", () => {
    const trips = Array.from({ length: 1002 }, (_, n) => n + 1);
    const { p99, p99_9, max } = latencyOf(times(...trips.reverse()), 1);
    assert.deepEqual([p99, p99_9, max], [991, 1000, 1001]);
  });
});

describe("peak bandwidth, as perftest finds it", () => {
  /** All stretches compared, as perftest does it. */
  const naive = (posted: Float64Array, completed: Float64Array): number | null => {
    let least = Infinity;
    for (const [i, begin] of posted.entries())
      for (let j = i; j < completed.length; j++) {
        const interval = (completed[j]! - begin) / (j - i + 1);
        if (interval < least) least = interval;
      }
    return least === Infinity ? null : least;
  };

  it("is that of the stretch with the least time for a message", () => {
    const posted = Float64Array.from([0, 10, 20, 100, 101, 102]);
    const completed = Float64Array.from([50, 60, 70, 130, 131, 132]);
    // From the fourth posting to the last completion: 32 ns for three.
    assert.equal(shortestInterval(posted, completed), 32 / 3);
  });

  it("goes by what was measured where a batch has one time", () => {
    const posted = Float64Array.from([0, NaN, NaN, NaN, 100, NaN]);
    const completed = Float64Array.from([NaN, NaN, 90, NaN, NaN, 150]);
    assert.equal(shortestInterval(posted, completed), 150 / 6);
  });

  it("is unknown where no time was taken", () => {
    assert.equal(shortestInterval(new Float64Array(3).fill(NaN), Float64Array.of(1, 2, 3)), null);
  });

  it("is what comparing all stretches finds", () => {
    const run = fc.array(
      fc.record({
        gap: fc.integer({ min: 0, max: 1000 }),
        takes: fc.integer({ min: 1, max: 5000 }),
        isPosted: fc.boolean(),
        isSeen: fc.boolean(),
      }),
      { minLength: 1, maxLength: 60 },
    );
    fc.assert(
      fc.property(run, (messages) => {
        let time = 0;
        let seen = 0;
        const posted = Float64Array.from(messages, ({ gap, isPosted }) => {
          time += gap;
          return isPosted ? time : NaN;
        });
        time = 0;
        const completed = Float64Array.from(messages, ({ gap, takes, isSeen }) => {
          time += gap;
          seen = Math.max(seen, time + takes);
          return isSeen ? seen : NaN;
        });
        const expected = naive(posted, completed);
        const found = shortestInterval(posted, completed);
        if (expected === null) assert.equal(found, null);
        else assert.ok(Math.abs(found! - expected) < 1e-9, `${found} is not ${expected}`);
      }),
    );
  });
});
