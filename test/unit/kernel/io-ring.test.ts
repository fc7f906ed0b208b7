import assert from "node:assert/strict";
import type { NativeIoRing, NativeMemory } from "#lib/addon.js";
import { IoRing } from "#lib/kernel/io-ring.js";

const ENTRIES = 4;

/** The kernel's side of a ring that takes as many entries as it is told to, and completes them. */
class ModelRing {
  readonly rings = new Int32Array(128);
  readonly sqes = new Int32Array(ENTRIES * 16);
  /** Entries that the next enter() takes; or an errno, negated. */
  takes: number = ENTRIES;
  readonly taken: { offset: number; address: number; cookie: number }[] = [];
  closed = 0;
  #head: number;

  constructor(begin: number) {
    this.#head = begin;
    this.rings.fill(begin, 0, 4);
  }

  native(): NativeIoRing {
    const memory = (words: Int32Array): NativeMemory =>
      ({ buffer: words.buffer, close: () => this.closed++ }) as unknown as NativeMemory;
    return {
      layout: {
        ...{ sqEntries: ENTRIES, sqTail: 0, sqArray: 32 },
        ...{ cqEntries: 2 * ENTRIES, cqHead: 8, cqTail: 12, cqes: 64 },
      },
      rings: () => memory(this.rings),
      entries: () => memory(this.sqes),
      enter: (submit: number) => this.#enter(submit),
      close: () => this.closed++,
    } as unknown as NativeIoRing;
  }

  #enter(submit: number): number {
    if (this.takes < 0) return this.takes;
    const count = Math.min(submit, this.takes);
    for (let i = 0; i < count; i++) {
      const index = this.rings[8 + (this.#head & (ENTRIES - 1))]!;
      this.#head = (this.#head + 1) | 0;
      const word = (n: number): number => this.sqes[index * 16 + n]! >>> 0;
      this.taken.push({
        offset: word(2) + word(3) * 2 ** 32,
        address: word(4) + word(5) * 2 ** 32,
        cookie: word(8),
      });
      const at = 16 + (this.rings[3]! & (2 * ENTRIES - 1)) * 4;
      this.rings[at] = word(8);
      this.rings[at + 2] = word(6);
      this.rings[3] = (this.rings[3]! + 1) | 0;
    }
    return count;
  }
}

describe("an io_uring", () => {
  // The kernel's counters wrap around, as 32-bit numbers do.
  for (const begin of [0, 2 ** 31 - 6, -6])
    it(`carries requests and their ends, from counter ${begin} on`, () => {
      const model = new ModelRing(begin);
      const ring = IoRing.open(ENTRIES, { createIoRing: () => model.native() });
      const [offset, address] = [2 ** 40 + 512, 0x7f53_1f42_6000];
      for (let i = 0; i < 20; i += 2) {
        ring.submit(4, 0, offset + i, address, 100 + i, 0, i);
        ring.submit(4, 0, offset + i + 1, address, 101 + i, 0, i + 1);
        ring.enter(1, -1);
        assert.equal(ring.pending, 0);
        assert.deepEqual([ring.next(), ring.result], [i, 100 + i]);
        assert.deepEqual([ring.next(), ring.result], [i + 1, 101 + i]);
        assert.equal(ring.next(), -1);
      }
      assert.deepEqual(
        model.taken,
        Array.from({ length: 20 }, (_, i) => ({ offset: offset + i, address, cookie: i })),
      );
    });

  it("keeps what the kernel did not take for the next time", () => {
    const model = new ModelRing(0);
    const ring = IoRing.open(ENTRIES, { createIoRing: () => model.native() });
    for (let i = 0; i < 4; i++) ring.submit(4, 0, i, 0, 1, 0, i);
    for (const [takes, pending] of [
      [0, 4],
      [3, 1],
      [4, 0],
    ] as const) {
      model.takes = takes;
      ring.enter(1, -1);
      assert.equal(ring.pending, pending);
    }
    assert.deepEqual(
      model.taken.map(({ cookie }) => cookie),
      [0, 1, 2, 3],
    );
  });

  it("says why the kernel takes nothing at all, and lets go of everything", () => {
    const model = new ModelRing(0);
    const ring = IoRing.open(ENTRIES, { createIoRing: () => model.native() });
    model.takes = -9;
    assert.throws(
      () => {
        ring.enter(1, -1);
      },
      { code: "IO", message: "io_uring_enter: EBADF" },
    );
    ring.close();
    assert.equal(model.closed, 3);
  });
});
