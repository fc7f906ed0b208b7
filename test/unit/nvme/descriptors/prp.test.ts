import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { checkPrp, PrpBuilder, prpListBytes } from "#lib/nvme/descriptors/prp.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { readPrps, type Run } from "../../../support/data-pointer-reader.js";
import { LIST_BYTES, LIST_IOVA, PAGE, type Piece, vectorOf } from "./table.js";

const A = 0x1_0000_0000;

/** Where the list goes, and the bytes that it may take there. */
interface Where {
  at?: number;
  room?: number;
}

/** The bytes that a controller would move. */
function described(vector: DmaVector, { at = 0, room = LIST_BYTES - at }: Where = {}): Run[] {
  const list = { buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA };
  const prps = new PrpBuilder(list);
  prps.build(vector, 0, vector.byteLength, at, room);
  const words = [prps.word0, prps.word1, prps.word2, prps.word3];
  return readPrps(words, vector.byteLength, list);
}

describe("PRPs", () => {
  it("are refused with the piece that they cannot say", () => {
    for (const [vector, message] of [
      [vectorOf([A + 2, 512]), /512 bytes at 0x100000002 as its first piece/],
      [vectorOf([A, 512], [0x7000, 512]), /512 bytes at 0x100000000 as its first/],
      [vectorOf([A, PAGE], [0x7200, 512]), /512 bytes at 0x7200 as a further piece/],
      [vectorOf([A, PAGE], [0x7000, 512], [0x9000, 512]), /512 bytes at 0x7000 as a further/],
    ] as const)
      assert.throws(
        () => {
          checkPrp(vector, 0, vector.byteLength);
        },
        (e) => e instanceof P2pError && e.code === "UNALIGNED" && message.test(e.message),
      );
    const parts = vectorOf([A, 512], [0x7001, 512]);
    assert.throws(
      () => {
        checkPrp(parts, 512, 256);
      },
      { code: "UNALIGNED", message: /256 bytes at 0x7001 as its first piece/ },
    );
  });

  it("never leave the room that a list was given", () => {
    const vector = vectorOf([A, 4 * PAGE]);
    assert.doesNotThrow(() => described(vector, { room: 24 }));
    assert.throws(() => described(vector, { room: 16 }), { code: "BAD_RANGE" });
  });

  it("mean to a controller what the vector says, wherever the list lies", () => {
    const pageNumbers = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 40 - 1 }), {
      minLength: 1,
      maxLength: 700,
    });
    fc.assert(
      fc.property(
        pageNumbers,
        fc.nat(1023),
        fc.nat(1023),
        fc.nat(511),
        (numbers, headWords, tailWords, listSlot) => {
          const last = numbers.length - 1;
          const head = 4 * headWords;
          const tail = Math.min(4 * tailWords, PAGE - 4 - (last === 0 ? head : 0));
          const pieces = numbers.map((number, i): Piece => {
            const start = i === 0 ? head : 0;
            return [number * PAGE + start, PAGE - start - (i === last ? tail : 0)];
          });
          const vector = vectorOf(...pieces);
          const joined = [...vector.addresses].map((a, i): Piece => [a, vector.lengths[i]!]);
          assert.deepEqual(described(vector, { at: 8 * listSlot }), joined);
        },
      ),
    );
  });

  it("fit, packed, into what prpListBytes() sets aside, from 512 B to 4 MiB", () => {
    for (let length = 512; length <= 4 << 20; length *= 2)
      for (const extra of [0, 512]) {
        const bytes = prpListBytes(length + extra);
        for (const start of [A, A + 4, A + 4092])
          for (const at of [0, bytes, 3 * bytes]) {
            const vector = vectorOf([start, length + extra]);
            assert.deepEqual(described(vector, { at, room: bytes }), [[start, length + extra]]);
          }
      }
    assert.equal(prpListBytes(4096), 0);
    assert.equal(prpListBytes(8192), 16);
    assert.equal(prpListBytes(128 << 10), 256);
    assert.equal(prpListBytes(4 << 20), 3 * PAGE);
  });
});
