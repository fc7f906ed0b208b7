import assert from "node:assert/strict";
import fc from "fast-check";
import { IovaAllocator, type IovaRange } from "#lib/dma/iova-allocator.js";
import { NaiveExtents } from "../../support/naive-extents.js";

const MiB = 2 ** 20;
const PAGE = 4096;
// A failure names its seed and is not shrunk: that would take minutes for so many.
const OPERATIONS = 10_000;
const TOP = 2 ** 45;

const usable = [
  { first: 0, last: 20 * MiB - 1 },
  { first: TOP, last: TOP + 12 * MiB - 1 },
];
const windows = [
  { start: 5 * MiB, size: 3 * MiB },
  { start: TOP + MiB, size: 2 * MiB },
];
const allocatable = [
  { start: MiB, end: 5 * MiB },
  { start: 8 * MiB, end: 20 * MiB },
  { start: TOP, end: TOP + MiB },
  { start: TOP + 3 * MiB, end: TOP + 12 * MiB },
];
const identities = windows.map(({ start, size }) => ({ start, end: start + size }));

/** An allocator, and what it should be: two sorted lists, of what it chooses from and of the windows. */
class Pair {
  readonly iovas = new IovaAllocator(usable, windows);
  readonly space = new NaiveExtents(allocatable);
  readonly windows = new NaiveExtents(identities);
  readonly live: { range: IovaRange; model: NaiveExtents }[] = [];
  #released: IovaRange | undefined;

  allocate(size: number, alignment: number): void {
    const whole = Math.ceil(size / PAGE) * PAGE;
    if (!this.space.hasRoom(whole, alignment)) {
      assert.throws(() => this.iovas.allocate(size, alignment), { code: "NO_IOVA" });
      return;
    }
    const range = this.iovas.allocate(size, alignment);
    assert.equal(range.size, whole);
    assert.equal(range.iova % alignment, 0);
    this.space.take(range.iova, whole, alignment === PAGE);
    this.live.push({ range, model: this.space });
  }

  takeIdentity(address: number, size: number): void {
    const end = address + size;
    const isFree = this.windows.free.some((hole) => hole.start <= address && end <= hole.end);
    const range = this.iovas.take(address, size);
    assert.equal(range !== null, isFree);
    if (!range) return;
    assert.deepEqual([range.iova, range.size], [address, size]);
    this.windows.take(address, size, false);
    this.live.push({ range, model: this.windows });
  }

  release(which: number): void {
    const [gone] = this.live.splice(which % this.live.length, 1);
    if (!gone) return;
    gone.model.give(gone.range.iova, gone.range.size);
    this.iovas.release(gone.range);
    this.#released = gone.range;
  }

  misuse(): void {
    const released = this.#released;
    if (released) assert.throws(() => this.iovas.release(released), { code: "NOT_MAPPED" });
    assert.throws(() => this.iovas.allocate(PAGE, 3 * PAGE), { code: "BAD_ARGUMENT" });
  }

  step(word: number): void {
    const kind = word % 64;
    const rest = Math.floor(word / 64);
    const pages = 1 + (rest % (kind % 2 === 0 ? 8 : 600));
    if (kind === 0) this.misuse();
    else if (kind < 8) {
      const start = kind % 2 === 0 ? 4 * MiB : TOP;
      this.takeIdentity(start + (rest % 1280) * PAGE, (1 + (rest % 7)) * PAGE);
    } else if (kind < 36) this.release(rest);
    else this.allocate(pages * PAGE - (rest % PAGE), kind < 44 ? PAGE << (rest % 10) : PAGE);
  }
}

describe("IovaAllocator, against sorted lists", () => {
  const words = fc.uint32Array({ minLength: OPERATIONS, maxLength: OPERATIONS });

  it(`has all of its space again after ${OPERATIONS} operations, each as the model says`, () => {
    fc.assert(
      fc.property(words, (steps) => {
        const pair = new Pair();
        for (const word of steps) pair.step(word);
        while (pair.live.length > 0) pair.release(steps[pair.live.length] ?? 0);
        for (const { start, end } of [...allocatable].sort(
          (a, b) => b.end - b.start - (a.end - a.start),
        ))
          assert.equal(pair.iovas.allocate(end - start, PAGE).iova, start);
        for (const { start, end } of identities) assert.ok(pair.iovas.take(start, end - start));
        assert.throws(() => pair.iovas.allocate(PAGE, PAGE), { code: "NO_IOVA" });
      }),
      { numRuns: 10, endOnFailure: true },
    );
  });

  it("keeps what it lost to restrict() for ever, whatever was held", () => {
    const less = [
      { first: 2 * MiB, last: 11 * MiB - 1 },
      { first: TOP + 4 * MiB, last: TOP + 6 * MiB - 1 },
    ];
    fc.assert(
      fc.property(words, (steps) => {
        const pair = new Pair();
        for (const word of steps.slice(0, OPERATIONS / 2)) pair.step(word);
        const held = pair.live.map(({ range }) => range);
        pair.iovas.restrict(less);
        for (const [index, range] of held.entries()) {
          pair.iovas.release(range);
          const word = steps[OPERATIONS / 2 + index] ?? 0;
          try {
            const { iova, size } = pair.iovas.allocate(PAGE + (word % MiB), PAGE);
            const isInside = less.some(
              (part) => part.first <= iova && iova + size - 1 <= part.last,
            );
            assert.ok(isInside, `0x${iova.toString(16)}`);
          } catch (error) {
            assert.equal((error as { code?: string }).code, "NO_IOVA");
          }
        }
      }),
      { numRuns: 10, endOnFailure: true },
    );
  });
});
