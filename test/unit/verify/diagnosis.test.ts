import assert from "node:assert/strict";
import { diagnose, type Defect, type Evidence } from "#lib/verify/diagnosis.js";
import { Marks } from "#lib/verify/marks.js";
import type { MarkMode } from "#lib/verify/mode.js";

const LENGTH = 16384;
/** Of the block, from the start of its range: past 4 GiB. */
const AT = 2 ** 33 + 3 * LENGTH;

type Damage = (good: Uint8Array, old: Uint8Array, other: Uint8Array) => Uint8Array;

/** `good` with `from` in place of [start, end). */
function patched(good: Uint8Array, start: number, end: number, from: Uint8Array): Uint8Array {
  const bytes = good.slice();
  bytes.set(from.subarray(start, end), start);
  return bytes;
}

function changed(good: Uint8Array, ...places: number[]): Uint8Array {
  const bytes = good.slice();
  for (const at of places) bytes[at]! ^= 0x10;
  return bytes;
}

/** By so many bytes further on, with `from` where nothing of it is. */
function shifted(good: Uint8Array, by: number, start: number, from: Uint8Array): Uint8Array {
  const bytes = from.slice();
  for (let i = 0; i < bytes.length; i++)
    if (i < start) bytes[i] = good[i]!;
    else if (i - by >= 0 && i - by < bytes.length) bytes[i] = good[i - by]!;
  return bytes;
}

const noise = Uint8Array.from({ length: LENGTH }, (_, i) => Math.imul(i + 77, 0x9e3779b1) >>> 13);

/** What was done, the defect, the first wrong byte, and words of the message. */
const CASES: [string, Damage, Defect, number, RegExp][] = [
  [
    "the block of an earlier run",
    (_good, old) => old,
    "stale",
    0,
    /data of another run \(seed 0x11\)/,
  ],
  ["what no run has written", () => noise, "stale", 0, /data without a mark of this run/],
  ["another block", (_good, _old, other) => other, "swapped", 0, /belongs at #5$/],
  ["zeros", () => new Uint8Array(LENGTH), "zeros", 0, /only zeros/],
  ["ones", () => new Uint8Array(LENGTH).fill(0xff), "ones", 0, /PCIe read .* failed/],
  [
    "an end of an earlier run",
    (good, old) => patched(good, 4096, LENGTH, old),
    "torn",
    4096,
    /^from byte 4096 of the block on there is data of another run \(seed 0x11\)/,
  ],
  [
    "an end of something else, torn in a line",
    (good) => patched(good, 5000, LENGTH, noise),
    "torn",
    5000,
    /^from byte 5000 of the block on there is what was there before/,
  ],
  [
    "an end of an earlier run, torn in a stamp",
    (good, old) => patched(good, 5000, LENGTH, old),
    "torn",
    5000,
    /^from byte 5000 of the block on there is data of another run \(seed 0x11\)/,
  ],
  [
    "an end of something else, with a little of the block in its midst",
    (good) => {
      const bytes = patched(good, 8192, LENGTH, noise);
      bytes.set(good.subarray(100, 164), 12288 - 32);
      return bytes;
    },
    "torn",
    8192,
    /what was there before/,
  ],
  [
    "a beginning of an earlier run",
    (good, old) => patched(good, 0, 8192, old),
    "torn",
    0,
    /^up to byte 8191 of the block there is data of another run/,
  ],
  [
    "a page of an earlier run",
    (good, old) => patched(good, 4096, 8192, old),
    "torn",
    4096,
    /^in the bytes 4096 to 8191 of the block there is data of another run/,
  ],
  [
    "one line of zeros",
    (good) => patched(good, 128, 192, new Uint8Array(LENGTH)),
    "torn",
    128,
    /^in the bytes 128 to 191 of the block there is only zeros/,
  ],
  [
    "a page of ones",
    (good) => patched(good, 4096, 8192, new Uint8Array(LENGTH).fill(0xff)),
    "torn",
    4096,
    /only ones/,
  ],
  [
    "a page of another block",
    (good, _old, other) => patched(good, 8192, 12288, other),
    "swapped",
    8192,
    /^in the bytes 8192 to 12287 of the block there is what belongs at #5\.5$/,
  ],
  [
    "two pages in each other's place",
    (good) => {
      const bytes = good.slice();
      bytes.set(good.subarray(4096, 8192), 8192);
      bytes.set(good.subarray(8192, 12288), 4096);
      return bytes;
    },
    "swapped",
    4096,
    /belongs at #3\.5$/,
  ],
  [
    "all of it 4 bytes further on",
    (good) => shifted(good, 4, 0, noise),
    "shifted",
    0,
    /stand 4 bytes further on than they should/,
  ],
  [
    "all of it 17 bytes further back",
    (good) => shifted(good, -17, 0, noise),
    "shifted",
    0,
    /stand 17 bytes further back than they should/,
  ],
  [
    "a page further on, from the second page",
    (good, old) => shifted(good, 4096, 4096, old),
    "shifted",
    4096,
    /bytes 4096 to 16383 of the block stand 4096 bytes further on/,
  ],
  ["one bit", (good) => changed(good, 9000), "corrupted", 9000, /bytes 9000 to 9000 .* changed/],
  [
    "bits here and there, and none between",
    (good) => changed(good, 700, 701, 15000),
    "corrupted",
    700,
    /bytes 700 to 15000 of the block were changed/,
  ],
  ["a bit of its seed", (good) => changed(good, 5), "corrupted", 5, /changed/],
];

function evidenceOf(marks: Marks, found: Uint8Array): Evidence {
  const memory = { bytes: found, words: new Uint32Array(found.buffer) };
  return {
    isMarked: true,
    identify: (at) =>
      marks.identify(memory, at, AT + at, (offset) => `#${(offset - 2 ** 33) / LENGTH}`),
  };
}

for (const mode of ["pattern", "crc32c"] satisfies MarkMode[])
  describe(`blocks of the mode ${mode} that hold`, () => {
    const marks = new Marks(mode, 0xdeadbeef);
    const good = marks.make(LENGTH, AT);
    const old = new Marks(mode, 0x11).make(LENGTH, AT);
    const other = marks.make(LENGTH, 2 ** 33 + 5 * LENGTH);

    it("what they should are right", () => {
      const memory = { bytes: good, words: new Uint32Array(good.buffer) };
      assert.ok(marks.isRight(memory, 0, LENGTH, AT));
    });

    for (const [what, damage, defect, at, words] of CASES)
      it(`${what} are ${defect}`, () => {
        const found = Uint8Array.from(damage(good, old, other));
        const memory = { bytes: found, words: new Uint32Array(found.buffer) };
        assert.ok(!marks.isRight(memory, 0, LENGTH, AT), "it is noticed");
        const diagnosis = diagnose(found, good, evidenceOf(marks, found));
        assert.equal(diagnosis.defect, defect, diagnosis.what);
        assert.equal(diagnosis.at, at, diagnosis.what);
        assert.match(diagnosis.what, words);
        assert.ok(!diagnosis.what.includes("\n"));
      });

    it("their head and nothing else are corrupted", () => {
      const head = mode === "crc32c" ? 24 : 16;
      const found = patched(noise, 0, head, good);
      const { defect, at } = diagnose(found, good, evidenceOf(marks, found));
      assert.deepEqual({ defect, at }, { defect: "corrupted", at: head });
    });
  });

describe("a block that is compared with data that carry no marks", () => {
  const source = Uint8Array.from({ length: 4096 }, (_, i) => Math.imul(i, 0x85ebca6b) >>> 11);
  const nobody: Evidence = { isMarked: false, identify: () => null };
  const cases: [string, Uint8Array, Defect, number][] = [
    ["different, where nothing is alike", noise.slice(0, 4096), "different", 0],
    ["torn, where an end is other", patched(source, 1024, 4096, noise), "torn", 1024],
    ["corrupted, where a byte is other", changed(source, 77), "corrupted", 77],
    ["zeros", new Uint8Array(4096), "zeros", 1],
    ["shifted", shifted(source, 3, 0, noise.slice(0, 4096)), "shifted", 0],
  ];
  for (const [what, found, defect, at] of cases)
    it(`is ${what}`, () => {
      const diagnosis = diagnose(found, source, nobody);
      assert.deepEqual([diagnosis.defect, diagnosis.at], [defect, at], diagnosis.what);
    });

  it("is swapped where those who know say so", () => {
    const known: Evidence = { isMarked: false, identify: () => ({ place: "LBA 8" }) };
    const found = noise.slice(0, 4096);
    const hex = (block: Uint8Array): string => Buffer.from(block.subarray(0, 8)).toString("hex");
    assert.deepEqual(diagnose(found, source, known), {
      ...{ defect: "swapped", at: 0 },
      what: "there is what belongs at LBA 8",
      bytes: `byte 0 on: expected ${hex(source)}, found ${hex(found)}`,
    });
  });

  it("is not told to be shifted where the data repeat themselves", () => {
    const even = new Uint8Array(4096).fill(7);
    const { defect } = diagnose(patched(even, 1000, 1200, noise), even, nobody);
    assert.equal(defect, "torn");
  });
});
