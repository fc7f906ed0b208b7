import assert from "node:assert/strict";
import fc from "fast-check";
import { Windows, windowBlocks } from "#lib/remote/windows.js";

describe("Windows of blocks that are confirmed together", () => {
  it("have 64 MiB, or as many blocks as a message has sums for", () => {
    assert.equal(windowBlocks(128 << 10), 512);
    assert.equal(windowBlocks(4096), 4096);
    assert.equal(windowBlocks(512), 4096);
    assert.equal(windowBlocks(1 << 30), 1);
  });

  it("are told of when they are whole, when it is time, and at the end", () => {
    const windows = new Windows(0, 10, 4, 1000);
    assert.equal(windows.next(0, 2000), null, "nothing is written");
    assert.equal(windows.next(3, 1001), null, "not whole");
    assert.deepEqual(windows.next(4, 1001), { first: 0, count: 4 });
    assert.deepEqual(windows.next(9, 1001), { first: 0, count: 4 });
    windows.announce({ first: 0, count: 4 }, 1100);
    assert.equal(windows.next(6, 1599), null);
    assert.deepEqual(windows.next(6, 1600), { first: 4, count: 2 });
    windows.announce({ first: 4, count: 2 }, 1600);
    assert.equal(windows.next(9, 1601), null);
    windows.announce(windows.next(10, 1601)!, 1601);
    assert.equal(windows.next(10, 9999), null, "all is told");
    assert.equal(windows.confirmed, 0);
    for (const end of [4, 6, 10]) windows.confirm(end);
    assert.ok(windows.isDone);
  });

  it("wait while too many are not looked at yet", () => {
    const windows = new Windows(5, 100, 2, 0);
    for (let count = 0; count < 4; count++) windows.announce(windows.next(100, 0)!, 0);
    assert.equal(windows.next(100, 10_000), null);
    windows.confirm(7);
    assert.deepEqual(windows.next(100, 0), { first: 13, count: 2 });
  });

  it("are confirmed once, in order, and none that nobody told of", () => {
    const windows = new Windows(0, 10, 4, 0);
    windows.announce({ first: 0, count: 4 }, 0);
    for (const wrong of [0, 3, 5])
      assert.throws(() => windows.confirm(wrong), { code: "BAD_MESSAGE" });
    windows.confirm(4);
    assert.throws(() => windows.confirm(4), { code: "BAD_MESSAGE" });
    for (const wrong of [
      { first: 0, count: 4 },
      { first: 5, count: 1 },
      { first: 4, count: 0 },
      { first: 4, count: 7 },
      { first: 4, count: 5 },
    ])
      assert.throws(() => windows.assertNext(wrong), { code: "BAD_MESSAGE" });
    windows.assertNext({ first: 4, count: 4 });
  });

  it("are confirmed one by one, not two at once", () => {
    const windows = new Windows(0, 10, 4, 0);
    windows.announce({ first: 0, count: 4 }, 0);
    windows.announce({ first: 4, count: 4 }, 0);
    assert.throws(() => windows.confirm(8), { code: "BAD_MESSAGE" });
    windows.confirm(4);
    windows.confirm(8);
    assert.equal(windows.confirmed, 8);
  });

  it("cover all blocks once, however writing and looking take turns", () => {
    fc.assert(
      fc.property(
        fc.nat(50),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.tuple(fc.nat(12), fc.boolean(), fc.nat(400)), { minLength: 400 }),
        (first, count, size, steps) => {
          const end = first + count;
          const windows = new Windows(first, end, size, 0);
          const told: number[] = [];
          const open: number[] = [];
          let [written, now] = [first, 0];
          for (const [more, looks, time] of steps) {
            written = Math.min(end, written + more);
            now += time;
            const next = windows.next(written, now);
            if (next !== null) {
              windows.announce(next, now);
              for (let block = 0; block < next.count; block++) told.push(next.first + block);
              open.push(next.first + next.count);
            }
            if (looks && open.length > 0) windows.confirm(open.shift()!);
          }
          assert.deepEqual(
            told,
            Array.from({ length: told.length }, (_, i) => first + i),
          );
          if (windows.isDone) assert.equal(told.length, count);
        },
      ),
    );
  });
});
