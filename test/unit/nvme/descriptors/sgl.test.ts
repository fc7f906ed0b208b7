import assert from "node:assert/strict";
import fc from "fast-check";
import { SglBuilder, sglListBytes, sglPieces } from "#lib/nvme/descriptors/sgl.js";
import { decodeSgls } from "#lib/nvme/descriptors/sgl-support.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { readSgl, type Run } from "../../../support/data-pointer-reader.js";
import { LIST_BYTES, LIST_IOVA, PAGE, type Piece, vectorOf } from "./table.js";

interface Where {
  offset?: number;
  length?: number;
  at?: number;
  room?: number;
  lead?: number;
  trail?: number;
}

/** The bytes that a controller would move. */
function described(vector: DmaVector, where: Where = {}): Run[] {
  const { offset = 0, length = vector.byteLength - offset, lead = 0, trail = 0 } = where;
  const { at = 0, room = LIST_BYTES - at } = where;
  const list = { buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA };
  const sgl = new SglBuilder(list);
  sgl.build(vector, offset, length, at, room, lead, trail);
  const words = [sgl.word0, sgl.word1, sgl.word2, sgl.word3];
  return readSgl(words, lead + length + trail, list);
}

/** The same bytes of the vector, byte by byte if need be. */
function expected(
  pieces: readonly Piece[],
  { offset = 0, length = 0, lead = 0, trail = 0 },
): Run[] {
  const runs: Run[] = lead > 0 ? [[null, lead]] : [];
  let at = 0;
  for (const [address, bytes] of pieces) {
    const from = Math.max(offset, at);
    const to = Math.min(offset + length, at + bytes);
    if (from < to) runs.push([address + (from - at), to - from]);
    at += bytes;
  }
  if (trail > 0) runs.push([null, trail]);
  return runs;
}

const scattered = (count: number): DmaVector =>
  vectorOf(...Array.from({ length: count }, (_, i): Piece => [0x1_0000_0000 + i * 64, 8]));

describe("SGLs", () => {
  it("mean to a controller what the vector says, wherever the list lies and whatever is thrown away", () => {
    const piece = fc.record({
      gap: fc.integer({ min: 1, max: 2 ** 36 }),
      bytes: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 2 ** 20 })),
    });
    const buckets = fc.record({ lead: fc.nat(4096), trail: fc.nat(4096) });
    fc.assert(
      fc.property(
        fc.array(piece, { minLength: 1, maxLength: 900 }),
        fc.nat(255),
        fc.option(buckets, { nil: { lead: 0, trail: 0 } }),
        fc.nat(),
        fc.nat(),
        (shape, slot, thrown, seedOffset, seedLength) => {
          let address = 1;
          const pieces = shape.map(({ gap, bytes }): Piece => {
            const start = address + gap;
            address = start + bytes;
            return [start, bytes];
          });
          const vector = vectorOf(...pieces);
          const offset = seedOffset % vector.byteLength;
          const length = 1 + (seedLength % (vector.byteLength - offset));
          const where = { offset, length, ...thrown };
          const got = described(vector, { ...where, at: 16 * slot });
          assert.deepEqual(got, expected(pieces, where));
        },
      ),
    );
  });

  it("fit, packed, into what sglListBytes() sets aside, and no more does", () => {
    for (const count of [1, 2, 3, 16, 17, 255, 256, 257, 511, 512, 766, 767, 1000]) {
      const room = sglListBytes(count);
      const vector = scattered(count);
      for (const at of [0, room, 3 * room])
        assert.equal(described(vector, { at, room }).length, count);
    }
    assert.deepEqual([1, 2, 3, 256, 257, 511, 512].map(sglListBytes), [
      0,
      32,
      64,
      PAGE,
      2 * PAGE,
      2 * PAGE,
      3 * PAGE,
    ]);
    assert.throws(() => described(scattered(257), { room: PAGE }), { code: "BAD_RANGE" });
    assert.throws(() => described(scattered(2), { room: 16 }), { code: "BAD_RANGE" });
  });

  it("take as many pieces as have room beside two bit buckets", () => {
    assert.deepEqual([0, 64, 2048, PAGE, 3 * PAGE].map(sglPieces), [1, 2, 126, 254, 254]);
    for (const room of [128, 2048, PAGE, 3 * PAGE]) {
      const builder = new SglBuilder({ buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA });
      const vector = scattered(1000);
      const fit = builder.fit(vector, 3, 7990, room);
      assert.equal(fit, 8 * sglPieces(room) - 3);
      assert.doesNotThrow(() =>
        described(vector, { offset: 3, length: fit, room, lead: 1, trail: 1 }),
      );
      assert.equal(builder.fit(vector, 3, 20, room), 20);
    }
  });

  it("are what Identify says", () => {
    for (const [sgls, alignment, hasBitBucket] of [
      [0, "none", false],
      [1, "byte", false],
      [2, "dword", false],
      [3, "none", false], // reserved
      [0x1_0001, "byte", true],
      [0x1_0002, "dword", true],
      [0x1_0000, "none", false],
      [0x1e_0004, "none", false],
      [0x1f_0005, "byte", true],
    ] as const)
      assert.deepEqual(decodeSgls(sgls), { alignment, hasBitBucket });
  });

  it("are built without allocating", () => {
    const builder = new SglBuilder({ buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA });
    const vector = scattered(8);
    const build = (times: number): void => {
      for (let i = 0; i < times; i++) builder.build(vector, 1, 60, (i % 8) * 128, 128);
    };
    build(20_000); // until it is optimised
    const before = process.memoryUsage().heapUsed;
    build(100_000);
    // One number for each call would be 1.6 MB.
    assert.ok(process.memoryUsage().heapUsed - before < 400_000);
  });
});
