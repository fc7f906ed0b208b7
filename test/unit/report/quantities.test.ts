import assert from "node:assert/strict";
import {
  bandwidth,
  change,
  digits,
  ioRate,
  quotient,
  ratio,
  time,
} from "#lib/report/quantities.js";

describe("a report's quantities", () => {
  it("have three digits, in the unit that fits", () => {
    assert.deepEqual([999.4, 999.6, 1.5e6, 6.333e9].map(bandwidth), [
      "999 B/s",
      "1.00 kB/s",
      "1.50 MB/s",
      "6.33 GB/s",
    ]);
    assert.deepEqual([0.5, 850, 12_345, 123_456_789_000].map(ioRate), [
      "0.500",
      "850",
      "12.3 k",
      "123 G",
    ]);
    assert.deepEqual([212.5, 81_000, 2.5e12].map(time), ["213 ns", "81.0 µs", "2500 s"]);
    assert.equal(ratio(1.4159), "1.42×");
  });

  it("are called unknown where they are, and 0 only where they are that", () => {
    for (const words of [bandwidth, ioRate, time, ratio, change, digits])
      for (const value of [null, NaN, Infinity]) assert.equal(words(value), "unknown");
    assert.equal(digits(0), "0");
    assert.equal(bandwidth(0), "0 B/s");
    assert.equal(quotient(1, 0), null);
    assert.equal(quotient(null, 2), null);
    assert.equal(quotient(0, 2), 0);
  });

  it("say which way a change goes, and nothing of one that is none", () => {
    assert.deepEqual([-0.1234, 0.0456, 0.0004].map(change), ["−12 %", "+4.6 %", "0 %"]);
  });
});
