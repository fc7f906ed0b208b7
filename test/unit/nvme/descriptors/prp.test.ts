import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { checkPrp, PrpBuilder, prpListBytes } from "#lib/nvme/descriptors/prp.js";
import { parseBdf } from "#lib/pci/bdf.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { rawVector } from "../../../support/raw-vector.js";

const CLIENT = parseBdf("0000:03:00.0");
const PAGE = 4096;
const LIST = 0x8_0000_0000; // IOVA of the list memory
const LIST_BYTES = 32 * PAGE;

type Piece = [address: number, length: number];

const vectorOf = (...pieces: Piece[]): DmaVector =>
  rawVector(
    CLIENT,
    pieces.map(([address, length]) => ({ address, length })),
  );

interface Built {
  prp1: number;
  prp2: number;
  /** The 64-bit slots of the list memory. */
  slots: number[];
}

const join = (low: number, high: number): number => (low >>> 0) + (high >>> 0) * 2 ** 32;

interface Where {
  offset?: number;
  length?: number;
  /** Offset of the list in its memory, and the bytes that it may take there. */
  at?: number;
  room?: number;
}

function build(vector: DmaVector, where: Where = {}): Built {
  const { offset = 0, length = vector.byteLength - offset } = where;
  const { at = 0, room = LIST_BYTES - at } = where;
  const buffer = new ArrayBuffer(LIST_BYTES);
  const prps = new PrpBuilder({ buffer, iova: LIST });
  prps.build(vector, offset, length, at, room);
  const words = new Int32Array(buffer);
  return {
    prp1: join(prps.prp1Lo, prps.prp1Hi),
    prp2: join(prps.prp2Lo, prps.prp2Hi),
    slots: Array.from({ length: LIST_BYTES / 8 }, (_, i) => join(words[2 * i]!, words[2 * i + 1]!)),
  };
}

const pages = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => first + i * PAGE);

/**
 * As a controller reads them (NVMe 1.4 §4.3), written without a look at the builder: the runs of
 * bytes that a command of `length` bytes moves.
 */
function decode({ prp1, prp2, slots }: Built, length: number): Piece[] {
  const runs: Piece[] = [];
  const add = (address: number, bytes: number): void => {
    const last = runs.at(-1);
    if (last && last[0] + last[1] === address) last[1] += bytes;
    else runs.push([address, bytes]);
  };
  let left = length;
  const take = (entry: number): void => {
    const bytes = Math.min(PAGE - (entry % PAGE), left);
    add(entry, bytes);
    left -= bytes;
  };
  take(prp1);
  if (left === 0) {
    assert.equal(prp2, 0, "PRP 2 is reserved if PRP 1 says it all");
    return runs;
  }
  if (left <= PAGE) {
    assert.equal(prp2 % PAGE, 0, "only PRP 1 has an offset");
    take(prp2);
    return runs;
  }
  let pointer = prp2;
  while (left > 0) {
    assert.equal(pointer % 8, 0);
    const index = (pointer - LIST) / 8;
    const entry = slots[index];
    assert.ok(entry !== undefined, "the list leaves its memory");
    assert.equal(entry % PAGE, 0, "only PRP 1 has an offset");
    if ((pointer + 8) % PAGE === 0 && left > PAGE) {
      pointer = entry;
    } else {
      take(entry);
      pointer += 8;
    }
  }
  return runs;
}

describe("PRPs", () => {
  const A = 0x1_0000_0000;

  it("describe what lies in one page by PRP 1 alone", () => {
    const cases: [DmaVector, number][] = [
      [vectorOf([A, 512]), A],
      [vectorOf([A, PAGE]), A],
      [vectorOf([A + 512, 3584]), A + 512],
      [vectorOf([A + 4092, 4]), A + 4092],
    ];
    for (const [vector, prp1] of cases) {
      const built = build(vector);
      assert.deepEqual([built.prp1, built.prp2], [prp1, 0]);
      assert.ok(built.slots.every((slot) => slot === 0));
    }
  });

  it("describe two pages by PRP 1 and PRP 2", () => {
    const cases: [DmaVector, number, number][] = [
      [vectorOf([A, 2 * PAGE]), A, A + PAGE],
      [vectorOf([A, PAGE + 512]), A, A + PAGE],
      [vectorOf([A + 512, PAGE]), A + 512, A + PAGE],
      [vectorOf([A + 4092, 8]), A + 4092, A + PAGE],
      [vectorOf([A + 512, 2 * PAGE - 512]), A + 512, A + PAGE],
      [vectorOf([A, PAGE], [0x7000, PAGE]), A, 0x7000],
      [vectorOf([A + 2048, 2048], [0x7000, 512]), A + 2048, 0x7000],
    ];
    for (const [vector, prp1, prp2] of cases) {
      const built = build(vector);
      assert.deepEqual([built.prp1, built.prp2], [prp1, prp2]);
      assert.ok(built.slots.every((slot) => slot === 0));
    }
  });

  it("describe more by a list of the pages after the first", () => {
    const cases: [DmaVector, number, number[]][] = [
      [vectorOf([A, 3 * PAGE]), A, pages(A + PAGE, 2)],
      [vectorOf([A, 2 * PAGE + 512]), A, pages(A + PAGE, 2)],
      [vectorOf([A + 512, 2 * PAGE]), A + 512, pages(A + PAGE, 2)],
      [vectorOf([A, 128 << 10]), A, pages(A + PAGE, 31)],
      [vectorOf([A + 4, 128 << 10]), A + 4, pages(A + PAGE, 32)],
      [
        vectorOf([A + 1024, 3072], [0x9000, 2 * PAGE], [0x3000, 100]),
        A + 1024,
        [0x9000, 0xa000, 0x3000],
      ],
    ];
    for (const [vector, prp1, list] of cases) {
      const built = build(vector);
      assert.deepEqual([built.prp1, built.prp2], [prp1, LIST]);
      assert.deepEqual(built.slots.slice(0, list.length + 1), [...list, 0]);
    }
  });

  it("fill a list page to its last slot without chaining, if nothing follows", () => {
    // 1 page in PRP 1 and 512 in the list: 513 pages.
    const built = build(vectorOf([A, 513 * PAGE]));
    assert.equal(built.prp2, LIST);
    assert.deepEqual(built.slots.slice(0, 513), [...pages(A + PAGE, 512), 0]);
  });

  it("chain by the last slot, if one page more follows", () => {
    const built = build(vectorOf([A, 514 * PAGE]));
    assert.deepEqual(built.slots.slice(0, 515), [
      ...pages(A + PAGE, 511),
      LIST + PAGE,
      ...pages(A + 512 * PAGE, 2),
      0,
    ]);
  });

  it("chain twice for 4 MiB that start inside a page", () => {
    const built = build(vectorOf([A + 512, 4 << 20]));
    // 1024 entries: 511 and a pointer, 511 and a pointer, 2.
    assert.deepEqual(built.slots.slice(0, 1027), [
      ...pages(A + PAGE, 511),
      LIST + PAGE,
      ...pages(A + 512 * PAGE, 511),
      LIST + 2 * PAGE,
      ...pages(A + 1023 * PAGE, 2),
      0,
    ]);
  });

  it("start a list anywhere in a page: at its last slots it chains at once, or need not", () => {
    const two = build(vectorOf([A, 3 * PAGE]), { at: PAGE - 16 });
    assert.equal(two.prp2, LIST + PAGE - 16);
    assert.deepEqual(two.slots.slice(510, 513), [A + PAGE, A + 2 * PAGE, 0]);

    const three = build(vectorOf([A, 4 * PAGE]), { at: PAGE - 16 });
    assert.deepEqual(three.slots.slice(510, 515), [
      A + PAGE,
      LIST + PAGE,
      A + 2 * PAGE,
      A + 3 * PAGE,
      0,
    ]);

    const pointerOnly = build(vectorOf([A, 3 * PAGE]), { at: PAGE - 8 });
    assert.equal(pointerOnly.prp2, LIST + PAGE - 8);
    assert.deepEqual(pointerOnly.slots.slice(511, 515), [LIST + PAGE, A + PAGE, A + 2 * PAGE, 0]);
  });

  it("describe a part of a vector", () => {
    const vector = vectorOf([A + 2048, 2048], [0x9000, PAGE], [0x3000, PAGE]);
    const built = build(vector, { offset: 2048 + 1024, length: PAGE });
    assert.deepEqual([built.prp1, built.prp2], [0x9400, 0x3000]);
    const second = build(vector, { offset: 2048, length: PAGE });
    assert.deepEqual([second.prp1, second.prp2], [0x9000, 0]);
  });

  it("keep all bits of addresses near the top of 52", () => {
    const high = 2 ** 52 - 4 * PAGE;
    const built = build(vectorOf([high, 3 * PAGE]));
    assert.deepEqual(
      [built.prp1, built.slots[0], built.slots[1]],
      [high, high + PAGE, high + 2 * PAGE],
    );
  });

  it("refuse what they cannot say", () => {
    const refused: [DmaVector, RegExp][] = [
      [vectorOf([A + 2, 512]), /first piece/],
      [vectorOf([A, 512], [0x7000, 512]), /512 bytes at 0x100000000/],
      [vectorOf([A, PAGE], [0x7200, 512]), /further piece/],
      [vectorOf([A, PAGE], [0x7000, 512], [0x9000, 512]), /512 bytes at 0x7000/],
    ];
    for (const [vector, message] of refused)
      for (const attempt of [() => checkPrp(vector, 0, vector.byteLength), () => build(vector)])
        assert.throws(
          attempt,
          (e) => e instanceof P2pError && e.code === "UNALIGNED" && message.test(e.message),
        );
    for (const [offset, length] of [
      [0, 513],
      [512, 1],
      [-4, 8],
      [0, 0],
    ] as const)
      assert.throws(() => build(vectorOf([A, 512]), { offset, length }), { code: "BAD_RANGE" });
  });

  it("never leave the room that a list was given", () => {
    const vector = vectorOf([A, 4 * PAGE]);
    assert.doesNotThrow(() => build(vector, { room: 24 }));
    assert.throws(() => build(vector, { room: 16 }), { code: "BAD_RANGE" });
  });

  it("mean to a controller what the vector says, wherever the list lies", () => {
    const pageNumbers = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 30 }), {
      minLength: 1,
      maxLength: 700,
    });
    fc.assert(
      fc.property(
        pageNumbers,
        fc.nat(1023),
        fc.nat(1023),
        fc.nat(1023),
        (numbers, headWords, tailWords, listSlot) => {
          const last = numbers.length - 1;
          const head = 4 * headWords;
          const tail = Math.min(4 * tailWords, PAGE - 4 - (last === 0 ? head : 0));
          const pieces = numbers.map((number, i): Piece => {
            const start = i === 0 ? head : 0;
            return [number * PAGE + start, PAGE - start - (i === last ? tail : 0)];
          });
          const vector = vectorOf(...pieces);
          const built = build(vector, { at: 8 * (listSlot % 512) });
          const joined = [...vector.addresses].map((a, i): Piece => [a, vector.lengths[i]!]);
          assert.deepEqual(decode(built, vector.byteLength), joined);
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
            const built = build(vector, { at, room: bytes });
            assert.deepEqual(decode(built, length + extra), [[start, length + extra]]);
          }
      }
    assert.equal(prpListBytes(4096), 0);
    assert.equal(prpListBytes(8192), 16);
    assert.equal(prpListBytes(128 << 10), 256);
    assert.equal(prpListBytes(4 << 20), 3 * PAGE);
  });
});
