/** The poll loop makes no garbage: no pause of it is the collector's, whatever the tail looks like. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const fixture = fileURLToPath(new URL("../../test/loopback/perf-gc-fixture.mjs", import.meta.url));
const library = import.meta.resolve("#lib/index.js");

/** As V8 tells of one: `[5:0x7f2a]  812 ms: Scavenge 4.9 (6.3) -> 4.1 (6.3) MB, …`. */
const COLLECTION = /^\[\d+:0x[\da-f]+\].* ms: (?:Scavenge|Mark-Compact|Minor).*$/gm;

interface Run {
  collections: string[];
  ios: number;
  /** Bytes by which what is alive in the heap grew. */
  grown: number;
  seconds: number;
}

function run(ios: number, ...mode: string[]): Run {
  const args = ["--expose-gc", fixture, library, String(ios), ...mode];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const totals = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as Omit<Run, "collections">;
  const lines = stdout.match(COLLECTION) ?? [];
  // The fixture ends with one; those of other threads, such as the one that stops it, do not count.
  const thread = /^\[\d+:(\w+)\]/.exec(lines.at(-1) ?? "")?.[1];
  assert.ok(thread !== undefined, stdout);
  const own = lines.filter((line) => line.includes(`:${thread}]`));
  return { ...totals, collections: own.slice(0, -1) };
}

describe("garbage collection in the poll loop", function () {
  // Some ten seconds on an idle machine of two processors, a minute on one with six times the work.
  this.timeout(300_000);
  // On a busy machine V8's compiler may not be done yet; a loop that makes garbage makes it every time.
  this.retries(2);

  it("is not there: none in four million I/Os, and the heap does not grow", () => {
    const { ios, collections, grown, seconds } = run(4_000_000);
    console.log(
      `      ${(ios / 1e6).toFixed(1)} million I/Os, ${seconds.toFixed(1)} s, heap +${grown} bytes`,
    );
    assert.ok(ios >= 4_000_000);
    assert.deepEqual(collections, []);
    assert.ok(grown < 2 ** 20, `${grown} bytes`);
  });

  it("is not there for blocks beyond number 2**31 either", () => {
    const { ios, collections } = run(1_000_000, "large");
    assert.ok(ios >= 1_000_000);
    assert.deepEqual(collections, []);
  });

  for (const mode of ["copy", "nvme-copy"])
    it(`is not there in the loop of ${mode} either: none in a million copies of blocks`, () => {
      const { ios, collections, grown } = run(1_000_000, mode);
      assert.ok(ios >= 1_000_000);
      assert.deepEqual(collections, []);
      assert.ok(grown < 2 ** 20, `${grown} bytes`);
    });

  it("would be seen: a loop that allocates has many", () => {
    const { collections } = run(500_000, "allocate");
    assert.ok(collections.length > 3, `${collections.length} collections`);
    const copies = run(200_000, "copy-allocate");
    assert.ok(copies.collections.length > 3, `${copies.collections.length} collections`);
  });
});
