import assert from "node:assert/strict";
import { DataPointers, type Descriptors } from "#lib/nvme/descriptors/data-pointer.js";
import type { SglSupport } from "#lib/nvme/descriptors/sgl-support.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { readPrps, readSgl } from "../../../support/data-pointer-reader.js";
import { rawVector } from "../../../support/raw-vector.js";
import { CLIENT, LIST_BYTES, LIST_IOVA, PAGE, type Piece, vectorOf } from "./table.js";

const A = 0x1_0000_0000;
const PSDT_SGL = 1 << 14;
const BYTE: SglSupport = { alignment: "byte", hasBitBucket: true };
const DWORD: SglSupport = { alignment: "dword", hasBitBucket: true };
const NONE: SglSupport = { alignment: "none", hasBitBucket: false };

const pointersOf = (support: SglSupport, choice?: Descriptors): DataPointers =>
  new DataPointers(CLIENT, support, choice);

const pages = (count: number, each: number): DmaVector =>
  vectorOf(...Array.from({ length: count }, (_, i): Piece => [A + 2 * i * each, each]));

const MAX_TRANSFER = 512 << 10;
const SHAPE = { blockSize: 512, maxTransfer: MAX_TRANSFER };

function check(pointers: DataPointers, vector: DmaVector, more = {}): void {
  pointers.check(vector, 0, vector.byteLength, { ...SHAPE, ...more });
}

describe("the choice between PRPs and SGLs", () => {
  // By hand: bytes of the list that the controller would read as PRPs, and as an SGL.
  const cases: [string, DmaVector, "prp" | "sgl"][] = [
    ["a block", vectorOf([A, 512]), "prp"], // 0, 0
    ["a page", vectorOf([A, PAGE]), "prp"], // 0, 0
    ["two pages", vectorOf([A, 2 * PAGE]), "prp"], // 0, 0
    ["two pages apart", pages(2, PAGE), "prp"], // 0, 32
    ["a page over two", vectorOf([A + 512, PAGE]), "prp"], // 0, 0
    ["two pages over three", vectorOf([A + 512, 2 * PAGE]), "sgl"], // 16, 0
    ["three pages", vectorOf([A, 3 * PAGE]), "sgl"], // 16, 0
    ["128 KiB", vectorOf([A, 128 << 10]), "sgl"], // 248, 0
    ["three pages apart", pages(3, PAGE), "prp"], // 16, 48
    ["32 pages apart", pages(32, PAGE), "prp"], // 248, 512
    ["two of two pages", pages(2, 2 * PAGE), "prp"], // 24, 32
    ["two of 10 KiB and more", vectorOf([A, 3 * PAGE], [0x7000, 3 * PAGE]), "sgl"], // 40, 32
    ["eight of two pages", pages(8, 2 * PAGE), "prp"], // 120, 128
    ["eight of three pages", pages(8, 3 * PAGE), "sgl"], // 184, 128
    ["what PRPs cannot say", vectorOf([A, 512], [0x7000, 512]), "sgl"],
    ["an odd address", vectorOf([A + 1, 512]), "sgl"],
  ];
  for (const [what, vector, kind] of cases)
    it(`is ${kind} for ${what}`, () => {
      const { byteLength } = vector;
      const pointers = pointersOf(BYTE);
      check(pointers, vector);
      const list = { buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA };
      const builder = pointers.builder(list);
      assert.equal(builder.fit(vector, 0, byteLength, PAGE, false), byteLength);
      builder.build(vector, 0, byteLength, 0, PAGE);
      assert.equal(builder.flags, kind === "sgl" ? PSDT_SGL : 0);
      const words = [builder.word0, builder.word1, builder.word2, builder.word3];
      const read = kind === "sgl" ? readSgl : readPrps;
      const moved = read(words, byteLength, list);
      assert.deepEqual(
        moved,
        [...vector.addresses].map((address, i) => [address, vector.lengths[i]]),
      );
      assert.equal(pointers.settle(vector, 0, byteLength).flags, builder.flags);
    });

  it("is PRPs for scattered pieces of a peer's memory, if they can say it", () => {
    const peer = (pieces: Piece[]): DmaVector =>
      rawVector(
        CLIENT,
        pieces.map(([address, length]) => ({ address, length })),
        "BUS_ADDR",
      );
    const flagsOf = (vector: DmaVector): number =>
      pointersOf(BYTE).settle(vector, 0, vector.byteLength).flags;
    const large = 64 << 10;
    assert.equal(flagsOf(peer([[A, large]])), PSDT_SGL);
    assert.equal(
      flagsOf(
        peer([
          [A, large],
          [A + 2 * large, large],
        ]),
      ),
      0,
    );
    assert.equal(flagsOf(vectorOf([A, large], [A + 2 * large, large])), PSDT_SGL);
    assert.equal(
      flagsOf(
        peer([
          [A, 512],
          [A + 2 * large, large],
        ]),
      ),
      PSDT_SGL,
    );
  });

  it("is the caller's, if the controller has both", () => {
    const vector = vectorOf([A, 128 << 10]);
    for (const choice of ["prp", "sgl"] as const) {
      const flags = choice === "sgl" ? PSDT_SGL : 0;
      const list = { buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA };
      for (const pointers of [pointersOf(BYTE, choice), pointersOf(BYTE).choose(choice)]) {
        assert.equal(pointers.settle(vector, 0, 512).flags, flags);
        assert.equal(pointers.builder(list).flags, flags);
      }
    }
  });

  it("is PRPs where the controller has no SGLs, unless these were asked for", () => {
    const vector = vectorOf([A, 128 << 10]);
    const auto = pointersOf(NONE);
    check(auto, vector);
    assert.equal(auto.settle(vector, 0, 512).flags, 0);
    assert.throws(
      () => {
        check(auto, vectorOf([A, 512], [0x7000, 512]));
      },
      { code: "UNALIGNED" },
    );
    const sgl = pointersOf(NONE, "sgl");
    assert.throws(
      () => {
        check(sgl, vector);
      },
      { code: "UNSUPPORTED", message: `${CLIENT} takes no SGLs (Identify Controller, SGLS)` },
    );
    assert.throws(() => pointersOf(BYTE, "prps" as Descriptors), { code: "BAD_ARGUMENT" });
  });

  it("falls back to PRPs where an SGL would have too many descriptors", () => {
    const list = { buffer: new ArrayBuffer(LIST_BYTES), iova: LIST_IOVA };
    const builder = pointersOf(BYTE).builder(list);
    // 33 pages in 15 pieces: 32 PRPs are 256 bytes, 15 descriptors 240, but 14 is all that may be.
    const pieces = Array.from({ length: 15 }, (_, i): Piece => [A + i * 16 * PAGE, 2 * PAGE]);
    for (let i = 0; i < 3; i++) pieces[i]![1] = 3 * PAGE;
    const vector = vectorOf(...pieces);
    builder.build(vector, 0, vector.byteLength, 0, 256);
    assert.equal(builder.flags, 0);
    builder.build(vector, 0, vector.byteLength, 0, 512);
    assert.equal(builder.flags, PSDT_SGL);
  });
});

describe("what SGLs may describe", () => {
  const refusal = (run: () => void): string => {
    try {
      run();
      return "";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  it("depends on the controller's alignment", () => {
    const cases: [DmaVector, object, string][] = [
      [vectorOf([A, 512]), {}, ""],
      [vectorOf([A + 4, 508], [0x7004, 4]), {}, ""],
      [vectorOf([A + 1, 512]), {}, "UNALIGNED"],
      [vectorOf([A + 2, 512]), {}, "UNALIGNED"],
      [vectorOf([A, 510], [0x7000, 2]), {}, "UNALIGNED"],
      [vectorOf([A, 508], [0x7002, 4]), {}, "UNALIGNED"],
      [vectorOf([A, 500]), { isPart: true, skip: 8 }, ""],
      [vectorOf([A, 500]), { isPart: true, skip: 6 }, "UNALIGNED"],
    ];
    for (const [vector, more, code] of cases) {
      assert.equal(
        refusal(() => {
          check(pointersOf(DWORD, "sgl"), vector, more);
        }),
        code,
      );
      check(pointersOf(BYTE, "sgl"), vector, more);
    }
  });

  it("are blocks in up to 254 pieces", () => {
    const bytes = (count: number, each: number, first = each): DmaVector =>
      vectorOf(
        [A - 4096, first],
        ...Array.from({ length: count - 1 }, (_, i): Piece => [A + 64 * i, each]),
      );
    const sgl = pointersOf(BYTE, "sgl");
    const codeOf = (vector: DmaVector, more = {}): string =>
      refusal(() => {
        check(sgl, vector, more);
      });
    assert.equal(codeOf(bytes(254, 2, 6)), "");
    assert.equal(codeOf(bytes(255, 2, 4)), "TOO_MANY_SEGMENTS");
    assert.equal(codeOf(bytes(2048, 4)), "", "128 in each block");
    assert.equal(codeOf(bytes(1024, 4), { blockSize: 4096 }), "TOO_MANY_SEGMENTS");
    assert.equal(codeOf(bytes(512, 1)), "TOO_MANY_SEGMENTS");
    // What the first piece has of the second block is one more piece of that.
    const over = (count: number): DmaVector =>
      vectorOf(
        [A - 4096, 600],
        ...Array.from({ length: count }, (_, i): Piece => [
          A + 64 * i,
          i === 0 ? 424 - count + 1 : 1,
        ]),
      );
    assert.equal(codeOf(over(253)), "");
    assert.equal(codeOf(over(254)), "TOO_MANY_SEGMENTS");
    // The same pieces over two blocks, if the first of these is skipped in part.
    assert.equal(codeOf(bytes(300, 1), { isPart: true, skip: 0 }), "TOO_MANY_SEGMENTS");
    assert.equal(codeOf(bytes(300, 1), { isPart: true, skip: 362 }), "");
  });

  it("is inside the buffer", () => {
    for (const support of [BYTE, NONE])
      for (const [offset, length] of [
        [0, 513],
        [512, 1],
        [-4, 8],
        [0, 0],
      ] as const)
        assert.throws(
          () => {
            pointersOf(support).check(vectorOf([A, 512]), offset, length, SHAPE);
          },
          { code: "BAD_RANGE" },
        );
  });

  it("has room in the lists that are set aside", () => {
    assert.equal(pointersOf(NONE).listBytes(MAX_TRANSFER), 1024);
    assert.equal(pointersOf(BYTE, "prp").listBytes(4 << 20), 3 * PAGE);
    assert.equal(pointersOf(BYTE, "sgl").listBytes(4 << 20), 3 * PAGE);
    assert.equal(pointersOf(BYTE).listBytes(MAX_TRANSFER), PAGE);
    assert.equal(pointersOf(BYTE).listBytes(4 << 20), 3 * PAGE);
    const vector = pages(3, PAGE);
    assert.equal(pointersOf(BYTE, "sgl").listBytesFor(vector, 0, 2 * PAGE), 32);
    assert.equal(pointersOf(BYTE, "sgl").listBytesFor(vector, 0, 2 * PAGE + 1), 64);
    assert.equal(pointersOf(BYTE, "prp").listBytesFor(vector, 0, 3 * PAGE), 32);
  });
});
