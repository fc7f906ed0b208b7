import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { formatSize, isPowerOfTwo, parseSize, shortSize } from "#lib/units.js";

describe("sizes", () => {
  it("reads bytes and fio's 1024-based suffixes in either case", () => {
    const sizes: [string, number][] = [
      ["0", 0],
      ["512", 512],
      ["512b", 512],
      ["4k", 4096],
      ["4K", 4096],
      ["4kb", 4096],
      ["4KiB", 4096],
      ["4 KiB", 4096],
      [" 128k ", 131072],
      ["3m", 3 * 1024 ** 2],
      ["2G", 2 * 1024 ** 3],
      ["1TiB", 1024 ** 4],
      ["9007199254740991", Number.MAX_SAFE_INTEGER],
    ];
    for (const [text, bytes] of sizes) assert.equal(parseSize(text), bytes, text);
  });

  it("refuses what is no size, as a usage error with a hint", () => {
    for (const text of [
      "",
      "k",
      "-1",
      "+1",
      "1.5k",
      "0x10",
      "4x",
      "4ib",
      "4 k b",
      "1e3",
      "4k4",
      "∞",
    ])
      assert.throws(
        () => parseSize(text),
        (error) => error instanceof P2pError && error.code === "BAD_SIZE" && error.isUsage,
        text,
      );
  });

  it("refuses a size that a double cannot hold exactly", () => {
    for (const text of ["9007199254740992", "8192t", "99999999999999999999g"])
      assert.throws(() => parseSize(text), { code: "BAD_SIZE" }, text);
  });

  it("shows sizes in the largest unit that fits", () => {
    assert.equal(formatSize(0), "0 B");
    assert.equal(formatSize(1023), "1023 B");
    assert.equal(formatSize(4096), "4 KiB");
    assert.equal(formatSize(1536), "1.5 KiB");
    assert.equal(formatSize(64 * 1024 ** 2), "64 MiB");
    assert.equal(formatSize(3_840_755_982_336), "3.49 TiB");
    assert.equal(formatSize(5000 * 1024 ** 4), "5000 TiB");
  });

  it("writes sizes short, and reads exactly those back", () => {
    assert.equal(shortSize(0), "0");
    assert.equal(shortSize(1536), "1536");
    assert.equal(shortSize(131072), "128k");
    assert.equal(shortSize(5000 * 1024 ** 4), "5000t");
    const size = fc
      .tuple(fc.nat(8191), fc.integer({ min: 0, max: 4 }))
      .map(([n, unit]) => n * 1024 ** unit);
    fc.assert(
      fc.property(fc.oneof(size, fc.maxSafeNat()), (bytes) => {
        assert.equal(parseSize(shortSize(bytes)), bytes);
      }),
    );
  });
});

describe("isPowerOfTwo", () => {
  it("knows every one that is a safe integer, and its neighbours", () => {
    for (let bits = 2; bits < 53; bits++)
      assert.deepEqual(
        [-1, 0, 1].map((more) => isPowerOfTwo(2 ** bits + more)),
        [false, true, false],
      );
    assert.deepEqual([1, 2, 0, -1, -2, 0.5, NaN, Infinity].map(isPowerOfTwo), [
      ...[true, true],
      ...[false, false, false, false, false, false],
    ]);
  });
});
