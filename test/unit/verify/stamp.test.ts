import assert from "node:assert/strict";
import fc from "fast-check";
import { STAMP_BYTES, areStamps, fillStamps, findHead, readStamp } from "#lib/verify/stamp.js";

const WORDS = STAMP_BYTES / 4;

function stamped(blocks: number, offset: number, seed: number): Uint32Array {
  const words = new Uint32Array(blocks * WORDS);
  fillStamps(words, offset, seed);
  return words;
}

describe("stamps", () => {
  it("are right where they were put, for any place and seed, and say so", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.integer(), (block, seed) => {
        const offset = block * STAMP_BYTES;
        const words = stamped(2, offset, seed);
        assert.ok(areStamps(words, 0, 2 * WORDS, offset, seed));
        assert.deepEqual(readStamp(words, WORDS), {
          offset: offset + STAMP_BYTES,
          seed: seed >>> 0,
        });
      }),
    );
  });

  it("are not right in another place, beyond 4 GiB too, nor of another run", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.nat(2 ** 31), (a, b) => {
        fc.pre(a !== b);
        assert.ok(
          !areStamps(stamped(1, a * STAMP_BYTES, 7), 0, WORDS, b * STAMP_BYTES, 7),
          "another place",
        );
        assert.ok(!areStamps(stamped(1, 4096, a), 0, WORDS, 4096, b), "another run");
      }),
    );
    assert.ok(!areStamps(stamped(1, 2 ** 32, 7), 0, WORDS, 0, 7));
  });

  it("are none of zeros or ones", () => {
    for (const words of [new Uint32Array(WORDS), new Uint32Array(WORDS).fill(0xffffffff)]) {
      assert.ok(!areStamps(words, 0, WORDS, 0, 0));
      assert.equal(readStamp(words, 0), null);
    }
  });

  it("with any one word changed are not right, nor whole", () => {
    fc.assert(
      fc.property(fc.nat(WORDS - 1), fc.integer({ min: 1, max: 0xffffffff }), (word, change) => {
        const words = stamped(1, 4096, 3);
        words[word] = words[word]! ^ change;
        assert.ok(!areStamps(words, 0, WORDS, 4096, 3));
        assert.equal(readStamp(words, 0), null);
      }),
    );
  });

  it("are found by their heads at any byte, those of their run alone", () => {
    const bytes = new Uint8Array(4096);
    assert.equal(findHead(bytes, 9), null);
    bytes.set(new Uint8Array(stamped(1, 2 ** 35 + 1024, 9).buffer), 333);
    assert.equal(findHead(bytes, 9), 2 ** 35 + 1024);
    assert.equal(findHead(bytes, 8), null);
    assert.equal(findHead(bytes.subarray(0, 333 + 12), 9), null, "half a head");
  });

  it("of neighbouring blocks and seeds have nothing in common past their heads", () => {
    const bodies = new Set<string>();
    for (let seed = 0; seed < 16; seed++) {
      const words = stamped(16, 0, seed);
      for (let i = 0; i < 16; i++) bodies.add(words.slice(i * WORDS + 4, (i + 1) * WORDS).join());
    }
    assert.equal(bodies.size, 256);
  });
});
