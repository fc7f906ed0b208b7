import assert from "node:assert/strict";
import { Pace } from "#lib/reactor/pace.js";

/** Begins what is due at each look, so long; the times of the begins. */
function beginsOf(spacingNs: number, looks: readonly number[]): number[] {
  const clock = new Float64Array(1);
  const pace = new Pace(spacingNs);
  pace.start(clock);
  const begins: number[] = [];
  for (const time of looks) {
    clock[0] = time;
    while (pace.isDue(clock)) {
      pace.spend(clock);
      begins.push(time);
    }
  }
  return begins;
}

const every = (step: number, end: number): number[] =>
  Array.from({ length: Math.floor(end / step) + 1 }, (_, n) => n * step);

describe("the pace of I/Os", () => {
  it("begins the first at once, and then one each spacing", () => {
    assert.deepEqual(beginsOf(1000, every(1, 5000)), [0, 1000, 2000, 3000, 4000, 5000]);
  });

  it("keeps the rate where polls are a little late, or further apart than the I/Os", () => {
    assert.equal(beginsOf(1000, every(1700, 1e6)).length, 1000);
    assert.equal(beginsOf(1e6 / 3, every(7e3, 1e9)).length, 3000);
  });

  it("makes up for no long pause by a burst", () => {
    const begins = beginsOf(1e6, [...every(1e4, 10e6), ...every(1e4, 10e6).map((t) => 500e6 + t)]);
    const after = begins.filter((time) => time >= 500e6);
    assert.deepEqual(after.slice(0, 3), [500e6, 501e6, 502e6]);
    assert.equal(begins.length, 11 + 11);
  });

  it("catches up at most a tenth of a millisecond of I/Os that are closer together", () => {
    const begins = beginsOf(1e4, [0, 10e6, 10e6 + 1e4]);
    assert.ok(begins.length <= 1 + 12, `${begins.length}`);
  });
});
