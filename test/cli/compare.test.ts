import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Comparison } from "#lib/bench/compare/compare.js";
import { benchReport, benchResult } from "../support/loopback-report.js";
import { p2pmem } from "../support/command.js";

describe("p2pmem compare", () => {
  let directory: string;
  let old: string;
  let slower: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-compare-"));
    old = join(directory, "old.json");
    slower = join(directory, "slower.json");
    const { samples } = benchResult();
    const half = { ...samples, bw_bytes: samples.bw_bytes.map((bw) => bw * 0.9) };
    writeFileSync(old, JSON.stringify(benchReport()));
    const results = [benchResult({ samples: half })];
    writeFileSync(slower, JSON.stringify(benchReport({ results })));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("exits with 0 where nothing is worse, and with 3 where something is, beyond the tolerance", async () => {
    const same = await p2pmem("compare", old, old);
    assert.deepEqual([same.code, same.stderr], [0, ""]);
    assert.match(same.stdout, /within noise/);
    const worse = await p2pmem("compare", old, slower);
    assert.equal(worse.code, 3);
    assert.match(worse.stdout, /^p2p .* worse$/m);
    assert.equal((await p2pmem("compare", old, slower, "--tolerance", "15%")).code, 0);
    assert.equal((await p2pmem("compare", slower, old)).code, 0);
  });

  it("exits with 1 where no result could be judged", async () => {
    const empty = join(directory, "empty.json");
    writeFileSync(empty, JSON.stringify(benchReport({ results: [] })));
    const { code, stdout } = await p2pmem("compare", empty, old);
    assert.equal(code, 1);
    assert.match(stdout, /No result could be judged/);
  });

  it("writes JSON and CSV, to a file as well", async () => {
    const file = join(directory, "out");
    const options = ["--output", file, "--output-format", "json"];
    const { code, stdout } = await p2pmem("compare", old, slower, ...options);
    assert.deepEqual([code, stdout], [3, ""]);
    const { stdout: direct } = await p2pmem("compare", old, slower, "--output-format", "json");
    const comparison = JSON.parse(direct) as Comparison;
    assert.equal(comparison.format, "p2pmem-compare-1");
    assert.equal(comparison.tolerance, 0.05);
    const csv = await p2pmem("compare", old, slower, "--output-format", "csv");
    assert.match(csv.stdout, /^job,rw,path,.*\r\nquick,copy,p2p,/);
  });

  it("says which file is wrong, and what a tolerance is, and exits with 2", async () => {
    const gone = join(directory, "gone.json");
    const missing = await p2pmem("compare", old, gone);
    assert.equal(missing.code, 2);
    assert.match(
      missing.stderr,
      /^p2pmem: BAD_REPORT: cannot read .*gone\.json: ENOENT; hint: .*\n$/,
    );
    for (const text of ["0.05", "5", "-5%", "100%", "x"]) {
      const { code, stderr } = await p2pmem("compare", old, old, `--tolerance=${text}`);
      assert.equal(code, 2, text);
      assert.match(stderr, /BAD_ARGUMENT: --tolerance: .* below 100 %; hint: write 5%/);
    }
    assert.equal((await p2pmem("compare", old)).code, 2);
  });

  it("describes itself in lines of 100 columns at most", async () => {
    const { stdout } = await p2pmem("compare", "--help");
    for (const line of stdout.split("\n")) assert.ok(line.length <= 100, line);
  });
});
