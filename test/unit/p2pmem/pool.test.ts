import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { Pool, type Allocation } from "#lib/p2pmem/pool.js";

const PAGE = 4096;
const gone = new P2pError("REMOVED", "0000:03:00.0 is gone", { device: "0000:03:00.0" });

const place = ({ offset, length }: Allocation): number[] => [offset, length];

describe("Pool", () => {
  it("hands out whole pages", () => {
    const pool = new Pool(3 * PAGE);
    assert.deepEqual(place(pool.alloc(1)), [0, PAGE]);
    const second = pool.alloc(4097);
    assert.deepEqual(place(second), [PAGE, 2 * PAGE]);
    assert.equal(second.pool, pool);
    assert.equal(pool.available, 0);
  });

  it("leaves a ragged end of the provider alone", () => {
    assert.equal(new Pool(2 * PAGE + 512).size, 2 * PAGE);
    const none = new Pool(4095);
    assert.equal(none.largestFree, 0);
    assert.throws(() => none.alloc(1), { code: "NO_ROOM" });
  });

  it("takes the smallest piece that fits", () => {
    const pool = new Pool(10 * PAGE);
    const [three, , two, , rest] = [3, 1, 2, 1, 3].map((pages) => pool.alloc(pages * PAGE));
    assert.ok(three && two && rest);
    const smaller = two.offset;
    pool.free(three);
    pool.free(two);
    assert.equal(pool.alloc(2 * PAGE).offset, smaller);
    assert.equal(pool.largestFree, 3 * PAGE);
  });

  it("gives certain bytes where they are free, and says what is", () => {
    const pool = new Pool(8 * PAGE);
    const pages = (start: number, end: number) => ({ start: start * PAGE, end: end * PAGE });
    const middle = pool.allocAt(3 * PAGE, 2 * PAGE);
    assert.deepEqual(place(middle), [3 * PAGE, 2 * PAGE]);
    assert.deepEqual(pool.freeRanges(), [pages(0, 3), pages(5, 8)]);
    for (const start of [2, 3, 4])
      assert.throws(() => pool.allocAt(start * PAGE, 2 * PAGE), { code: "NO_ROOM" });
    assert.throws(() => pool.allocAt(7 * PAGE, 2 * PAGE), { code: "NO_ROOM" });
    assert.deepEqual(place(pool.allocAt(0, 3 * PAGE)), [0, 3 * PAGE]);
    assert.equal(pool.peak, 5 * PAGE);
    pool.free(middle);
    assert.deepEqual(pool.freeRanges(), [pages(3, 8)]);
    pool.unpublish();
    assert.throws(() => pool.allocAt(3 * PAGE, PAGE), { code: "UNPUBLISHED" });
  });

  it("aligns the offset, and goes on using what lies before it", () => {
    const pool = new Pool(8 * PAGE);
    pool.alloc(PAGE);
    assert.deepEqual(place(pool.alloc(PAGE, 4 * PAGE)), [4 * PAGE, PAGE]);
    assert.deepEqual(place(pool.alloc(3 * PAGE)), [PAGE, 3 * PAGE]);
    assert.throws(() => pool.alloc(PAGE, 8 * PAGE), {
      code: "NO_ROOM",
      message: /no 4096 contiguous bytes, aligned to 32768,/,
    });
  });

  it("says how much is left when there is no room", () => {
    const pool = new Pool(4 * PAGE);
    pool.alloc(3 * PAGE);
    assert.throws(() => pool.alloc(8192), { code: "NO_ROOM", message: /largest piece: 4096/ });
  });

  it("counts what is free, in use and was in use at most", () => {
    const pool = new Pool(8 * PAGE);
    const [first] = [3, 1, 2].map((pages) => pool.alloc(pages * PAGE));
    assert.ok(first);
    pool.free(first);
    const largestFree = 3 * PAGE;
    assert.deepEqual(pool.statistics(), {
      ...{ size: 8 * PAGE, available: 5 * PAGE, largestFree, peak: 6 * PAGE, allocations: 2 },
    });
  });

  for (const bad of [0, -1, 1.5, NaN, Infinity])
    it(`refuses to allocate ${bad} bytes`, () => {
      assert.throws(() => new Pool(PAGE).alloc(bad), {
        code: "BAD_ARGUMENT",
        message: new RegExp(`allocate ${bad} bytes`),
      });
    });

  for (const bad of [0, -PAGE, 512, 3 * PAGE, 2 ** 32 + PAGE, PAGE + 0.5, NaN, Infinity])
    it(`refuses an alignment of ${bad}`, () => {
      assert.throws(() => new Pool(PAGE).alloc(1, bad), { code: "BAD_ARGUMENT" });
    });

  it("refuses a second free, and another pool's allocation", () => {
    const pool = new Pool(4 * PAGE);
    pool.alloc(PAGE);
    const allocation = pool.alloc(2 * PAGE);
    const foreign = new Pool(PAGE).alloc(PAGE);
    assert.throws(() => pool.free(foreign), {
      code: "FOREIGN_FREE",
      message: /not from this pool/,
    });
    pool.free(allocation);
    pool.alloc(2 * PAGE);
    const twice = { code: "DOUBLE_FREE", message: /was freed before/ };
    assert.throws(() => pool.free(allocation), twice);
    assert.equal(pool.available, PAGE);
    foreign.pool.free(foreign);
  });

  it("knows an allocation that was freed", () => {
    const pool = new Pool(PAGE);
    const allocation = pool.alloc(PAGE);
    allocation.assertUsable();
    pool.free(allocation);
    assert.throws(() => allocation.assertUsable(), { code: "NOT_ALLOCATED" });
    assert.throws(() => allocation.onRevoke(() => undefined), { code: "NOT_ALLOCATED" });
  });
});

describe("Pool, unpublished", () => {
  it("hands out nothing until it is published again; what is held stays valid", () => {
    const pool = new Pool(2 * PAGE);
    const held = pool.alloc(PAGE);
    pool.unpublish();
    pool.unpublish();
    assert.throws(() => pool.alloc(PAGE), { code: "UNPUBLISHED" });
    held.assertUsable();
    pool.free(held);
    pool.publish();
    pool.publish();
    assert.equal(pool.alloc(2 * PAGE).length, 2 * PAGE);
  });
});

describe("Pool, revoked", () => {
  it("tells each holder once, and not who has let go", () => {
    const pool = new Pool(4 * PAGE);
    const told: unknown[] = [];
    const [one, two, freed] = [1, 1, 1].map((pages) => pool.alloc(pages * PAGE));
    assert.ok(one && two && freed);
    one.onRevoke((error) => told.push("one", error));
    one.onRevoke(() => told.push("one again"));
    two.onRevoke(() => told.push("two"));
    freed.onRevoke(() => told.push("freed"));
    pool.free(freed);
    pool.revoke(gone);
    pool.revoke(new P2pError("OTHER", "other"));
    assert.deepEqual(told, ["one", gone, "one again", "two"]);
  });

  it("tells a holder that asks too late at once", () => {
    const pool = new Pool(PAGE);
    const allocation = pool.alloc(PAGE);
    pool.revoke(gone);
    const told: unknown[] = [];
    allocation.onRevoke((error) => told.push(error));
    assert.deepEqual(told, [gone]);
  });

  it("tells all holders though listeners throw, and throws what the first of them threw", () => {
    const pool = new Pool(3 * PAGE);
    const told: string[] = [];
    for (const name of ["one", "two", "three"])
      pool.alloc(PAGE).onRevoke(() => {
        told.push(name);
        if (name !== "three") throw new RangeError(name);
      });
    assert.throws(() => pool.revoke(gone), new RangeError("one"));
    assert.deepEqual(told, ["one", "two", "three"]);
    pool.revoke(gone);
    assert.equal(told.length, 3);
  });

  it("does not tell whom a listener has let go before it was their turn", () => {
    const pool = new Pool(2 * PAGE);
    const told: string[] = [];
    const [first, second] = [pool.alloc(PAGE), pool.alloc(PAGE)];
    first.onRevoke(() => {
      told.push("first");
      pool.free(first);
      pool.free(second);
    });
    first.onRevoke(() => told.push("first again"));
    second.onRevoke(() => told.push("second"));
    pool.revoke(gone);
    assert.deepEqual(told, ["first"]);
    assert.equal(pool.available, pool.size);
  });

  it("hands out nothing any more, and takes back what is held", () => {
    const pool = new Pool(2 * PAGE);
    const allocation = pool.alloc(PAGE);
    pool.revoke(gone);
    const revoked = {
      code: "REVOKED",
      message: /0000:03:00.0 is gone$/,
      device: "0000:03:00.0",
      cause: gone,
    };
    assert.throws(() => pool.alloc(PAGE), revoked);
    assert.throws(() => pool.publish(), revoked);
    pool.unpublish();
    assert.throws(() => pool.alloc(PAGE), revoked);
    assert.throws(() => allocation.assertUsable(), revoked);
    pool.free(allocation);
    assert.equal(pool.available, pool.size);
    assert.throws(() => pool.free(allocation), { code: "DOUBLE_FREE" });
    assert.throws(() => allocation.assertUsable(), { code: "NOT_ALLOCATED" });
  });
});
