import assert from "node:assert/strict";
import fc from "fast-check";
import { stripVTControlCharacters } from "node:util";
import { BENCH_PATHS } from "#lib/bench/point.js";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { benchText } from "#lib/cli/output/bench/normal.js";
import { PATTERNS } from "#lib/perf/plan.js";
import { benchReport, benchResult, failedResult } from "../../../support/bench-report.js";

const WIDTH = 100;

const whole = benchReport();
const base = benchResult();

function text(results: BenchResult[], changes: Partial<BenchReport> = {}): string {
  return benchText({ ...whole, results, ...changes }, false);
}

/** The lines from that of the heading to the next empty one. */
function section(shown: string, heading: string): string[] {
  const lines = shown.split("\n");
  const from = lines.findIndex((line) => line.startsWith(heading));
  assert.ok(from >= 0, `${heading} in\n${shown}`);
  return lines.slice(from, lines.indexOf("", from));
}

const name = fc.oneof(
  fc.constantFrom("0000:19:00.0/1", "0000:1a:00.0/1", "/dev/nvme10n1", "0000:1b:00.0/bar2@1m+16m"),
  fc.constantFrom("0000:19:00.0/1@17179869184+17179869184", `file:/mnt/${"long/".repeat(12)}x`),
);

const figure = fc.oneof(fc.double({ min: 0, max: 1e13 }), fc.constantFrom(NaN, 0, Infinity));

const anyResult: fc.Arbitrary<Partial<BenchResult>> = fc.record({
  job: fc.constantFrom("a", "a job of a very long name, longer than any that is sensible"),
  rw: fc.constantFrom("copy", ...PATTERNS),
  path: fc.constantFrom(...BENCH_PATHS),
  provider: fc.option(name, { nil: null }),
  src: fc.option(name, { nil: null }),
  dst: fc.option(name, { nil: null }),
  bs: fc.integer({ min: 512, max: 2 ** 30 }),
  iodepth: fc.integer({ min: 1, max: 65536 }),
  numjobs: fc.integer({ min: 1, max: 512 }),
  rwmixread: fc.option(fc.integer({ min: 0, max: 100 }), { nil: null }),
  registration: fc.constantFrom("once", "each"),
  bw_bytes: figure,
  iops: figure,
  limit_bw_bytes: fc.option(figure, { nil: null }),
  incomplete: fc.boolean(),
  warnings: fc.array(fc.constantFrom("noisy: ".repeat(30).trim(), "drift of 12 %")),
  lat_ns: fc.constantFrom(null, base.lat_ns),
});

describe("a benchmark's tables", () => {
  it("fit 100 columns whatever they show", () => {
    fc.assert(
      fc.property(fc.array(anyResult, { maxLength: 12 }), (changes) => {
        const shown = text(changes.map((change) => ({ ...base, ...change })));
        for (const line of shown.split("\n")) assert.ok(line.length <= WIDTH, line);
        assert.doesNotMatch(shown, /NaN|undefined|null|Infinity/);
      }),
      { numRuns: 100 },
    );
  });

  it("have their rows aligned: of right-aligned columns the ends, below their titles' ends", () => {
    const [, ...lines] = section(benchText(whole, false), "mix:");
    const ends = (line: string): number[] =>
      [...line.matchAll(/\S+/g)].map((m) => m.index + m[0].length);
    const [first, second] = lines.slice(-2).map((line) => ends(line).slice(2));
    assert.deepEqual(first, second);
    const titles = new Set(lines.slice(0, 2).flatMap(ends));
    assert.ok(first!.every((end) => titles.has(end)));
  });

  it("leave out the columns that say nothing", () => {
    const head = section(text([benchResult({ path: "host" })]), "sweep:")
      .slice(1, 3)
      .join(" ");
    assert.doesNotMatch(head, /provider|jobs|mapped|verify|limit|src|dst|run|CPU %/);
    const all = section(benchText(whole, false), "kernel:").slice(1, 3).join(" ");
    assert.match(all, /provider.*verify run/);
  });

  it("name both endpoints in columns where they differ, and where that is too wide in headings", () => {
    const short = [benchResult(), benchResult({ src: "0000:1c:00.0/1" })];
    assert.match(section(text(short), "sweep:")[1]!, /src/);
    const verify = {
      mode: "memcmp",
      blocks: 9,
      mismatches: 0,
      first: null,
      runtime_ns: 1,
    } as const;
    const wide = short.map((result) => ({
      ...result,
      ...{ verify, numjobs: 4, dst: `file:/mnt/disk/${result.src!.slice(5)}`, limit_bw_bytes: 8e9 },
    }));
    const lines = text(wide).split("\n");
    for (const { src, dst } of wide)
      assert.ok(lines.some((line) => line.startsWith(`sweep: copy ${src!} to ${dst}`)));
  });

  it("say which columns found no room, and what a number stands for in place of a long name", () => {
    const provider = "0000:1b:00.0/bar2@17179869184+17179869184";
    const mixed = benchReport().results.find(({ rw }) => rw === "randrw")!;
    const verify = {
      mode: "memcmp",
      blocks: 9,
      mismatches: 0,
      first: null,
      runtime_ns: 1,
    } as const;
    const results = [
      { ...mixed, verify, provider, limit_bw_bytes: 8e9, iodepth: 65536 },
      { ...mixed, registration: "each" as const, incomplete: true, path: "kernel-host" as const },
      { ...mixed, cpu: { ...mixed.cpu, busy_ns_per_block: null } },
    ];
    const shown = text(results);
    assert.match(shown, /^no room for root B\/B/m);
    assert.match(shown, new RegExp(`^#1 is ${provider.replace("+", "\\+")}$`, "m"));
  });

  it("show half of the interval as a percentage, ? where there is none", () => {
    const sure = benchResult({ bw_bytes: 1e9 });
    sure.samples.bw_bytes_ci = [0.97e9, 1.01e9];
    const unsure = benchResult({ bw_bytes: 2e9, path: "host" });
    unsure.samples.bw_bytes_ci = null;
    const rows = section(text([sure, unsure]), "sweep:").slice(-2);
    assert.match(rows[0]!, / 1\.00 {2}2\.0 /);
    assert.match(rows[1]!, / 2\.00 {4}\? /);
  });
});

describe("a slow one's bandwidth", () => {
  it("is never shown as 0", () => {
    for (const [bandwidth, shown] of [
      [640e3, "0.00064"],
      [58e6, "0.058"],
      [104e6, "0.10"],
      [0, "0.00"],
    ] as const)
      assert.equal(
        section(text([benchResult({ bw_bytes: bandwidth, path: "host" })]), "sweep:")
          .at(-1)!
          .split(/ +/)[3],
        shown,
      );
  });
});

describe("a benchmark's matrices", () => {
  it("have rows and columns in one order of devices, and - where nothing was measured", () => {
    const lines = section(benchText(whole, false), "pairs:");
    const [head, ...rows] = lines.slice(1).map((line) => line.trim().split(/ {2,}/));
    assert.deepEqual(head!.slice(1), ["19:00.0/1", "1a:00.0/1", "65:00.0/1"]);
    assert.deepEqual(
      rows.map(([label]) => label),
      head!.slice(1),
    );
    for (const [index, row] of rows.entries()) assert.equal(row[index + 1], "-");
    assert.equal(rows[0]![2], "6.30");
  });

  it("are split where a pair was measured through several providers", () => {
    const ends = ["0000:19:00.0/1", "0000:1a:00.0/1", "0000:65:00.0/1"];
    const results = ["0000:1b:00.0/bar2", "0000:1c:00.0/pmr"].flatMap((provider) =>
      ends.flatMap((src) =>
        ends.filter((dst) => dst !== src).map((dst) => benchResult({ provider, src, dst })),
      ),
    );
    const shown = text(results);
    assert.match(shown, /provider 1b:00\.0\/bar2, bs/);
    assert.match(shown, /provider 1c:00\.0\/pmr, bs/);
  });

  it("have writes come from the provider, and are no matrices of one row", () => {
    const results = ["0000:1b:00.0/bar2", "0000:1c:00.0/pmr"].flatMap((provider) =>
      ["0000:19:00.0/1", "0000:1a:00.0/1"].map((dst) =>
        benchResult({ rw: "write", provider, src: null, dst }),
      ),
    );
    const lines = section(text(results), "sweep: write from");
    assert.match(lines[2]!, /^ {2}1b:00\.0\/bar2/);
    assert.doesNotMatch(text(results.slice(0, 2)), /each row/);
  });

  it("are as many tables as their columns need", () => {
    const names = Array.from(
      { length: 24 },
      (_, index) => `0000:${(16 + index).toString(16)}:00.0/1`,
    );
    const results = names.flatMap((src) =>
      names.filter((dst) => dst !== src).map((dst) => ({ ...benchResult(), src, dst })),
    );
    const lines = text(results).split("\n");
    assert.ok(lines.every(({ length }) => length <= WIDTH));
    for (const found of names) assert.ok(lines.some((line) => line.includes(found.slice(5))));
  });
});

describe("what is said of verified data", () => {
  it("is no ok where no block was there to be verified", () => {
    const verified = (blocks: number): string =>
      text([
        benchResult({
          verify: { mode: "crc32c", blocks, mismatches: 0, first: null, runtime_ns: 1 },
        }),
      ]);
    assert.match(verified(1), / ok$/m);
    assert.match(verified(0), / nothing$/m);
    assert.doesNotMatch(verified(0), / ok$/m);
  });
});

describe("what is said below a benchmark's tables", () => {
  it("tells each warning once, with how many results have it", () => {
    const warnings = ["drift of 12 %"];
    const results = [benchResult({ warnings }), benchResult({ warnings, path: "host" })];
    const shown = text(results, { warnings: [], expectations: [], incomplete: false });
    assert.deepEqual(shown.match(/^warning.*$/gm), [
      "warning: sweep, 2 of its results: drift of 12 %",
    ]);
    assert.doesNotMatch(shown, /incomplete|expectations|mismatch/);
  });

  it("repeats the command as a shell takes it", () => {
    const command = ["p2pmem", "bench", "it's.yaml", "--bs", "4k,1m"];
    assert.match(text([], { command }), /^repeat {3}p2pmem bench 'it'\\''s\.yaml' --bs 4k,1m$/m);
  });

  it("has colours only where they are wanted, and they move nothing", () => {
    const plain = benchText(whole, false);
    const coloured = benchText(whole, true);
    assert.equal(stripVTControlCharacters(plain), plain);
    assert.equal(stripVTControlCharacters(coloured), plain);
    for (const word of ["fail", "error", "3 bad", "mismatch:"])
      assert.ok(coloured.includes(`\x1b[31m${word}\x1b[39m`), word);
    assert.ok(coloured.includes("\x1b[32mpass\x1b[39m"));
  });

  it("has null for each pair of what found no peer memory, and says why below", () => {
    const reads = { job: "matrix", rw: "read", dst: null } as const;
    const providers = ["0000:05:00.0/bar2", "0000:06:00.0/bar2"];
    const results = ["0000:03:00.0/1", "0000:04:00.0/1"].flatMap((src) =>
      providers.map((provider) => benchResult({ ...reads, src, provider })),
    );
    const failed = { code: "NO_PROVIDER", message: "no memory that it reaches", hint: "move it" };
    const lost = failedResult({ ...reads, src: "0000:09:00.0/1", provider: null, failed });
    const text = benchText({ ...benchReport(), results: [...results, lost] }, false);
    assert.equal(text.match(/^ {2}09:00\.0\/1 +null +null$/gm)?.length, 2, text);
    assert.match(text, /^failed: matrix src=0000:09:00\.0\/1: NO_PROVIDER: [^]*hint: move it$/m);
  });
});
