import assert from "node:assert/strict";
import fc from "fast-check";
import { STAMP_BYTES, checkStamp, fillStamps } from "#lib/copy/stamp.js";

const WORDS = STAMP_BYTES / 4;

function stamped(blocks: number, offset: number, seed: number): Uint32Array {
  const words = new Uint32Array(blocks * WORDS);
  fillStamps(words, offset, seed);
  return words;
}

describe("stamps", () => {
  it("are right where they were put, for any place and seed", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.integer(), (block, seed) => {
        const offset = block * STAMP_BYTES;
        const words = stamped(2, offset, seed);
        assert.equal(checkStamp(words, 0, offset, seed), null);
        assert.equal(checkStamp(words, WORDS, offset + STAMP_BYTES, seed), null);
      }),
    );
  });

  it("of another place show as swapped, beyond 4 GiB too", () => {
    fc.assert(
      fc.property(fc.nat(2 ** 31), fc.nat(2 ** 31), (a, b) => {
        fc.pre(a !== b);
        const words = stamped(1, a * STAMP_BYTES, 7);
        assert.equal(checkStamp(words, 0, b * STAMP_BYTES, 7), "swapped");
      }),
    );
    const words = stamped(1, 2 ** 32, 7);
    assert.equal(checkStamp(words, 0, 0, 7), "swapped");
  });

  it("of another run, zeros and ones show as stale", () => {
    assert.equal(checkStamp(stamped(1, 0, 1), 0, 0, 2), "stale");
    assert.equal(checkStamp(new Uint32Array(WORDS), 0, 0, 0), "stale");
    assert.equal(checkStamp(new Uint32Array(WORDS).fill(0xffffffff), 0, 0, 0), "stale");
  });

  it("with any one word changed are not right", () => {
    fc.assert(
      fc.property(fc.nat(WORDS - 1), fc.integer({ min: 1, max: 0xffffffff }), (word, change) => {
        const words = stamped(1, 4096, 3);
        words[word] = words[word]! ^ change;
        assert.notEqual(checkStamp(words, 0, 4096, 3), null);
      }),
    );
  });

  it("joined from two runs show as torn", () => {
    const words = stamped(1, 4096, 3);
    words.set(stamped(1, 4096, 4).subarray(WORDS / 2), WORDS / 2);
    assert.equal(checkStamp(words, 0, 4096, 3), "torn");
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
