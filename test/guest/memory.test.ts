/** Pinned memory where the machine has a pool of hugepages, as the lab does. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { addon } from "#lib/addon.js";

const MiB = 2 ** 20;

function freeHugepages(): number {
  const [, free = "0"] =
    /HugePages_Free:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  return Number(free);
}

describe("pinned memory with hugepages to be had", () => {
  it("is of 2 MiB pages while the pool lasts, then of ordinary ones", () => {
    const before = freeHugepages();
    assert.ok(before >= 2, "the lab reserves some");
    const huge = addon().allocatePinned(3 * MiB, true);
    assert.deepEqual([huge.size, huge.pageSize], [4 * MiB, 2 * MiB]);
    assert.equal(freeHugepages(), before - 2);
    const rest = addon().allocatePinned((before - 1) * 2 * MiB, true);
    assert.equal(rest.pageSize, 4096);
    rest.close();
    huge.close();
    assert.equal(freeHugepages(), before);
  });
});
