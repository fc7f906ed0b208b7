import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { Pool, type Allocation } from "#lib/p2pmem/pool.js";
import { NaiveExtents } from "../../support/naive-extents.js";

const PAGE = 4096;
const PAGES = 1500;
const OPERATIONS = 10_000;
// A failure names its seed and is not shrunk: that would take minutes for so many operations.
const RUNS = 10;

/** A pool, and what it should be. */
class Pair {
  readonly pool = new Pool(PAGES * PAGE);
  readonly model = new NaiveExtents([{ start: 0, end: this.pool.size }]);
  readonly live: Allocation[] = [];
  readonly #other = new Pool(PAGE);
  readonly #foreign = this.#other.alloc(PAGE);
  #freed: Allocation | undefined;
  #peak = 0;
  #isPublished = true;

  alloc(length: number, alignment: number): void {
    const size = Math.ceil(length / PAGE) * PAGE;
    if (!this.#isPublished) {
      assert.throws(() => this.pool.alloc(length, alignment), { code: "UNPUBLISHED" });
    } else if (!this.model.hasRoom(size, alignment)) {
      assert.throws(() => this.pool.alloc(length, alignment), { code: "NO_ROOM" });
    } else {
      const allocation = this.pool.alloc(length, alignment);
      assert.equal(allocation.length, size);
      assert.equal(allocation.offset % alignment, 0);
      this.model.take(allocation.offset, size, alignment === PAGE);
      this.live.push(allocation);
      this.#peak = Math.max(this.#peak, this.pool.size - this.model.available);
    }
  }

  free(which: number): void {
    const [allocation] = this.live.splice(which % this.live.length, 1);
    if (!allocation) return;
    this.model.give(allocation.offset, allocation.length);
    this.pool.free(allocation);
    this.#freed = allocation;
  }

  misuse(which: number): void {
    const { pool } = this;
    const freed = this.#freed;
    if (freed) assert.throws(() => pool.free(freed), { code: "DOUBLE_FREE" });
    assert.throws(() => pool.free(this.#foreign), { code: "FOREIGN_FREE" });
    assert.throws(() => pool.alloc(-which), { code: "BAD_ARGUMENT" });
    assert.throws(() => pool.alloc(1, PAGE * (2 * which + 3)), { code: "BAD_ARGUMENT" });
  }

  togglePublished(): void {
    this.#isPublished = !this.#isPublished;
    if (this.#isPublished) this.pool.publish();
    else this.pool.unpublish();
  }

  check(): void {
    assert.deepEqual(this.pool.statistics(), {
      size: PAGES * PAGE,
      available: this.model.available,
      largestFree: this.model.largest,
      peak: this.#peak,
      allocations: this.live.length,
    });
  }

  /** Mostly allocates and frees; in either order about as often. */
  step(word: number): void {
    const kind = word % 64;
    const rest = Math.floor(word / 64);
    if (kind === 0) this.misuse(rest % 1000);
    else if (kind === 1) this.togglePublished();
    else if (kind < 32) this.free(rest);
    else {
      const most = kind < 48 ? 4 : 64;
      this.alloc(1 + (rest % (most * PAGE)), kind % 4 === 0 ? PAGE << (rest % 6) : PAGE);
    }
  }
}

describe("Pool, against a sorted list", () => {
  const words = fc.uint32Array({ minLength: OPERATIONS, maxLength: OPERATIONS });

  it(`is one piece again after ${OPERATIONS} operations, each as the model says`, () => {
    fc.assert(
      fc.property(words, (steps) => {
        const pair = new Pair();
        for (const word of steps) {
          pair.step(word);
          pair.check();
        }
        while (pair.live.length > 0) pair.free(steps[pair.live.length] ?? 0);
        pair.check();
        assert.equal(pair.pool.largestFree, PAGES * PAGE);
        assert.equal(pair.pool.available, PAGES * PAGE);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  it("tells whoever holds something when it is revoked, once, and nobody else", () => {
    fc.assert(
      fc.property(words, (steps) => {
        const pair = new Pair();
        const told: Allocation[] = [];
        const gone = new P2pError("REMOVED", "gone");
        for (const word of steps) {
          const before = pair.live.length;
          pair.step(word);
          const latest = pair.live.at(-1);
          if (pair.live.length > before) latest?.onRevoke(() => told.push(latest));
        }
        pair.pool.revoke(gone);
        pair.pool.revoke(gone);
        assert.deepEqual(new Set(told), new Set(pair.live));
        assert.equal(told.length, pair.live.length);
        assert.throws(() => pair.pool.alloc(1), { code: "REVOKED" });
        while (pair.live.length > 0) pair.free(0);
        assert.equal(pair.pool.available, PAGES * PAGE);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });
});
