import assert from "node:assert/strict";
import fc from "fast-check";
import { Pool, type Allocation } from "#lib/p2pmem/pool.js";

describe("Pool", () => {
  it("hands out whole pages", () => {
    const pool = new Pool(3 * 4096);
    assert.deepEqual(pool.alloc(1), { offset: 0, length: 4096 });
    assert.deepEqual(pool.alloc(4097), { offset: 4096, length: 8192 });
    assert.equal(pool.available, 0);
  });

  it("leaves a ragged end of the provider alone", () => {
    assert.equal(new Pool(2 * 4096 + 512).size, 2 * 4096);
    assert.throws(() => new Pool(4095).alloc(1), { code: "NO_ROOM" });
  });

  it("takes the smallest piece that fits", () => {
    const pool = new Pool(10 * 4096);
    const [three, , two, , rest] = [3, 1, 2, 1, 3].map((pages) => pool.alloc(pages * 4096));
    assert.ok(three && two && rest);
    pool.free(three);
    pool.free(two);
    assert.equal(pool.alloc(2 * 4096).offset, two.offset);
    assert.equal(pool.largestFree, 3 * 4096);
  });

  it("says how much is left when there is no room", () => {
    const pool = new Pool(4 * 4096);
    pool.alloc(3 * 4096);
    assert.throws(() => pool.alloc(8192), { code: "NO_ROOM", message: /largest piece: 4096/ });
  });

  it("refuses a second free, and another pool's allocation", () => {
    const pool = new Pool(4 * 4096);
    const allocation = pool.alloc(4096);
    const foreign = new Pool(4096).alloc(4096);
    assert.throws(
      () => {
        pool.free(foreign);
      },
      { code: "NOT_ALLOCATED" },
    );
    pool.free(allocation);
    assert.throws(
      () => {
        pool.free(allocation);
      },
      { code: "NOT_ALLOCATED" },
    );
  });

  for (const bad of [0, -1, 1.5, NaN])
    it(`refuses to allocate ${bad} bytes`, () => {
      assert.throws(() => new Pool(4096).alloc(bad), { code: "BAD_ARGUMENT" });
    });

  it("never hands out a byte twice, and joins everything in the end", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(40000), fc.nat()), { maxLength: 80 }), (steps) => {
        const pool = new Pool(64 * 4096);
        const live: Allocation[] = [];
        for (const [length, choice] of steps) {
          if (choice % 2 === 0 && live.length > 0) {
            const [gone] = live.splice(choice % live.length, 1);
            if (gone) pool.free(gone);
          } else if (length > 0 && Math.ceil(length / 4096) * 4096 <= pool.largestFree) {
            const got = pool.alloc(length);
            assert.ok(got.length >= length && got.offset + got.length <= pool.size);
            for (const other of live)
              assert.ok(
                got.offset >= other.offset + other.length ||
                  other.offset >= got.offset + got.length,
              );
            live.push(got);
          }
          const used = live.reduce((sum, { length: bytes }) => sum + bytes, 0);
          assert.equal(pool.available, pool.size - used);
        }
        for (const allocation of live) pool.free(allocation);
        assert.equal(pool.largestFree, pool.size);
      }),
    );
  });
});
