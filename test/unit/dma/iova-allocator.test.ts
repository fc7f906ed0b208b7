import assert from "node:assert/strict";
import { IovaAllocator } from "#lib/dma/iova-allocator.js";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const usable = [
  { first: 0, last: 0xfedfffff },
  { first: 0xfef00000, last: 2 ** 39 - 1 },
];
const busRanges = [
  { start: 0x80000000, size: 0x100000 },
  { start: 0x4000000000, size: GiB },
];

describe("IovaAllocator", () => {
  it("starts above the first MiB and aligns", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    assert.equal(iovas.allocate(0x80000000 - MiB, 4096).iova, MiB);
    assert.equal(iovas.allocate(4096, 4096).iova, 0x80100000);
    assert.equal(iovas.allocate(4 * MiB, 2 * MiB).iova, 0x80200000);
    assert.equal(iovas.allocate(4096, 4096).iova, 0x80101000);
  });

  it("fills the small spaces below 4 GiB first", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    for (let left = 3; left > 0; left--) assert.ok(iovas.allocate(GiB, 4096).iova < 4 * GiB);
    assert.ok(iovas.allocate(GiB, 4096).iova > 4 * GiB);
  });

  it("gives whole pages", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    const range = iovas.allocate(1, 4096);
    assert.equal(range.size, 4096);
    assert.equal(iovas.allocate(4097, 4096).iova, range.iova + 4096);
  });

  it("leaves out a page of which the IOMMU maps a part, or a BAR covers one", () => {
    const space = [{ first: MiB + 1, last: MiB + 0x4ffe }];
    const iovas = new IovaAllocator(space, [{ start: MiB + 0x2100, size: 256 }]);
    assert.equal(iovas.allocate(4096, 4096).iova, MiB + 0x1000);
    assert.equal(iovas.allocate(4096, 4096).iova, MiB + 0x3000);
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
  });

  it("uses freed ranges again, joined with their neighbours", () => {
    const iovas = new IovaAllocator([{ first: MiB, last: MiB + 0x3fff }], []);
    const pages = [0, 1, 2, 3].map(() => iovas.allocate(4096, 4096));
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
    const [, second, third, fourth] = pages;
    assert.ok(second && third && fourth);
    const lowest = second.iova;
    for (const page of [second, fourth, third]) iovas.release(page);
    assert.equal(iovas.allocate(3 * 4096, 4096).iova, lowest);
  });

  it("keeps clear of every bridge window and BAR", () => {
    const iovas = new IovaAllocator([{ first: 0, last: 0x80200000 - 1 }], busRanges);
    // All below the window, then all above it, and nothing inside.
    assert.equal(iovas.allocate(0x80000000 - MiB, 4096).iova, MiB);
    assert.equal(iovas.allocate(MiB, 4096).iova, 0x80100000);
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
  });

  it("takes a bus address for an identity map, once", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    const range = iovas.take(0x4000000000 + MiB, 64 * MiB);
    assert.ok(range);
    assert.deepEqual([range.iova, range.size], [0x4000000000 + MiB, 64 * MiB]);
    assert.equal(iovas.take(0x4000000000, 2 * MiB), null);
    assert.equal(iovas.take(0x4000000000 + 2 * MiB, MiB), null);
    assert.equal(iovas.take(0x4000000000 + 64 * MiB, 2 * MiB), null);
    assert.ok(iovas.take(0x4000000000, MiB));
    assert.ok(iovas.take(0x4000000000 + 65 * MiB, MiB));
    iovas.release(range);
    assert.ok(iovas.take(0x4000000000 + 2 * MiB, MiB));
    assert.throws(() => iovas.release(range), { code: "NOT_MAPPED" });
  });

  it("refuses an identity map where the IOMMU cannot translate, or outside of bus ranges", () => {
    const hole = [{ start: 0xfee00000, size: 4096 }];
    assert.equal(new IovaAllocator(usable, hole).take(0xfee00000, 4096), null);
    const high = [{ start: 2 ** 39, size: MiB }];
    assert.equal(new IovaAllocator(usable, high).take(2 ** 39, MiB), null);
    const iovas = new IovaAllocator(usable, busRanges);
    assert.equal(iovas.take(8 * MiB, MiB), null);
    assert.equal(iovas.take(0x80000000 + MiB / 2, MiB), null);
    assert.equal(iovas.take(0, 4096), null);
  });

  it("refuses an identity map of what is no whole page: the IOMMU could not map it alone", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    for (const [address, size] of [
      [0x80000100, 4096],
      [0x80000000, 256],
      [0x80000000, 0],
    ])
      assert.equal(iovas.take(address ?? 0, size ?? 0), null);
  });

  it("gives out less once the IOMMU can map less, and keeps what it has given out", () => {
    const iovas = new IovaAllocator([{ first: 0, last: 8 * MiB - 1 }], busRanges);
    const early = iovas.allocate(MiB, 4096);
    iovas.restrict([
      { first: 0, last: 3 * MiB - 1 },
      { first: 6 * MiB, last: 7 * MiB - 1 },
    ]);
    assert.deepEqual(
      [MiB, MiB].map((size) => iovas.allocate(size, 4096).iova),
      [2 * MiB, 6 * MiB],
    );
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
    const { iova } = early;
    iovas.release(early);
    assert.equal(iovas.allocate(MiB, 4096).iova, iova);
    assert.equal(iovas.take(0x80000000, 4096), null);
  });

  it("does not give out again what the IOMMU lost while it was held", () => {
    const iovas = new IovaAllocator([{ first: 0, last: 4 * MiB - 1 }], []);
    const held = iovas.allocate(3 * MiB, 4096);
    iovas.restrict([{ first: 2 * MiB, last: 3 * MiB - 1 }]);
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
    iovas.release(held);
    assert.equal(iovas.allocate(MiB, 4096).iova, 2 * MiB);
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
  });

  it("refuses to release what was released, and another allocator's", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    const other = new IovaAllocator(usable, busRanges);
    const range = iovas.allocate(8192, 4096);
    const refused = { code: "NOT_MAPPED", message: /released, or is another/ };
    assert.throws(() => other.release(range), refused);
    iovas.release(range);
    assert.throws(() => iovas.release(range), refused);
  });

  for (const [size, alignment] of [
    [0, 4096],
    [-4096, 4096],
    [0.5, 4096],
    [NaN, 4096],
    [4096, 0],
    [4096, 512],
    [4096, 12288],
  ] as const)
    it(`refuses ${size} bytes aligned to ${alignment}`, () => {
      assert.throws(() => new IovaAllocator(usable, busRanges).allocate(size, alignment), {
        code: "BAD_ARGUMENT",
      });
    });
});
