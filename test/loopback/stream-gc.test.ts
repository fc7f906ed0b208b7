/** The loops of a stream's two ends make no garbage: see perf-gc.test.ts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const fixture = fileURLToPath(
  new URL("../../test/loopback/stream-gc-fixture.mjs", import.meta.url),
);
const library = import.meta.resolve("#lib/index.js");

/** As V8 tells of one: `[5:0x7f2a]  812 ms: Scavenge 4.9 (6.3) -> 4.1 (6.3) MB, …`. */
const COLLECTION = /^\[\d+:0x[\da-f]+\].* ms: (?:Scavenge|Mark-Compact|Minor).*$/gm;

function run(blocks: number, ...mode: string[]) {
  const args = ["--expose-gc", fixture, library, String(blocks), ...mode];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const totals = JSON.parse(stdout.trimEnd().split("\n").at(-1)!) as {
    blocks: number;
    grown: number;
  };
  return { ...totals, collections: stdout.match(COLLECTION) ?? [] };
}

describe("garbage collection in the loops of a stream", function () {
  // A second on an idle machine.
  this.timeout(120_000);
  // On a busy machine V8's compiler may not be done yet; a loop that makes garbage makes it every time.
  this.retries(2);

  it("is not there: none in a million blocks, and the heap does not grow", () => {
    const { blocks, collections, grown } = run(1_000_000);
    assert.equal(blocks, 1_000_000);
    assert.deepEqual(collections, []);
    assert.ok(grown < 2 ** 20, `${grown} bytes`);
  });

  it("would be seen: one number for each block is enough", () => {
    const { collections } = run(1_000_000, "allocate");
    assert.ok(collections.length > 3, `${collections.length} collections`);
  });
});
