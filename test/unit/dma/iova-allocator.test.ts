import assert from "node:assert/strict";
import fc from "fast-check";
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
    assert.equal(iovas.allocate(4096, 4096), MiB);
    assert.equal(iovas.allocate(4 * MiB, 2 * MiB), 2 * MiB);
    assert.equal(iovas.allocate(4096, 4096), MiB + 4096);
  });

  it("uses freed ranges again, joined with their neighbours", () => {
    const iovas = new IovaAllocator([{ first: MiB, last: MiB + 0x3fff }], []);
    const pages = [0, 1, 2, 3].map(() => iovas.allocate(4096, 4096));
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
    for (const page of [pages[1], pages[3], pages[2]]) iovas.release(page ?? 0);
    assert.equal(iovas.allocate(3 * 4096, 4096), pages[1]);
  });

  it("keeps clear of every bridge window and BAR", () => {
    const iovas = new IovaAllocator([{ first: 0, last: 0x80200000 - 1 }], busRanges);
    // All below the window, then all above it, and nothing inside.
    assert.equal(iovas.allocate(0x80000000 - MiB, 4096), MiB);
    assert.equal(iovas.allocate(MiB, 4096), 0x80100000);
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
  });

  it("takes a bus address for an identity map, once", () => {
    const iovas = new IovaAllocator(usable, busRanges);
    assert.equal(iovas.take(0x4000000000, 64 * MiB), true);
    assert.equal(iovas.take(0x4000000000 + MiB, MiB), false);
    iovas.release(0x4000000000);
    assert.equal(iovas.take(0x4000000000 + MiB, MiB), true);
  });

  it("refuses an identity map where the IOMMU cannot translate, or outside of bus ranges", () => {
    const hole = [{ start: 0xfee00000, size: 4096 }];
    assert.equal(new IovaAllocator(usable, hole).take(0xfee00000, 4096), false);
    const high = [{ start: 2 ** 39, size: MiB }];
    assert.equal(new IovaAllocator(usable, high).take(2 ** 39, MiB), false);
    assert.equal(new IovaAllocator(usable, busRanges).take(8 * MiB, MiB), false);
  });

  it("gives out less once the IOMMU can map less, and keeps what it has given out", () => {
    const iovas = new IovaAllocator([{ first: 0, last: 8 * MiB - 1 }], busRanges);
    const early = iovas.allocate(MiB, 4096);
    iovas.restrict([
      { first: 0, last: 3 * MiB - 1 },
      { first: 6 * MiB, last: 7 * MiB - 1 },
    ]);
    assert.deepEqual(
      [MiB, MiB].map((size) => iovas.allocate(size, 4096)),
      [2 * MiB, 6 * MiB],
    );
    assert.throws(() => iovas.allocate(4096, 4096), { code: "NO_IOVA" });
    iovas.release(early);
    assert.equal(iovas.allocate(MiB, 4096), early);
    assert.equal(iovas.take(0x80000000, 4096), false);
  });

  it("refuses to release what was not taken", () => {
    assert.throws(
      () => {
        new IovaAllocator(usable, busRanges).release(MiB);
      },
      { code: "NOT_MAPPED" },
    );
  });

  it("never gives an address twice, nor one that is reserved, and gets all of it back", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ pages: fc.integer({ min: 1, max: 600 }), free: fc.nat() }), {
          maxLength: 60,
        }),
        (steps) => {
          const space = [{ first: 0, last: 16 * MiB - 1 }];
          const reserved = [{ start: 5 * MiB, size: 3 * MiB }];
          const iovas = new IovaAllocator(space, reserved);
          const live: { start: number; end: number }[] = [];
          for (const { pages, free } of steps) {
            if (free % 3 === 0 && live.length > 0) {
              const [gone] = live.splice(free % live.length, 1);
              iovas.release(gone?.start ?? 0);
              continue;
            }
            const alignment = pages >= 512 ? 2 * MiB : 4096;
            let start;
            try {
              start = iovas.allocate(pages * 4096, alignment);
            } catch {
              continue;
            }
            const end = start + pages * 4096;
            assert.equal(start % alignment, 0);
            assert.ok(start >= MiB && end <= 16 * MiB);
            assert.ok(end <= 5 * MiB || start >= 8 * MiB);
            assert.ok(live.every((other) => end <= other.start || start >= other.end));
            live.push({ start, end });
          }
          for (const { start } of live) iovas.release(start);
          assert.equal(iovas.allocate(8 * MiB, 4096), 8 * MiB);
          assert.equal(iovas.allocate(4 * MiB, 4096), MiB);
        },
      ),
    );
  });
});
