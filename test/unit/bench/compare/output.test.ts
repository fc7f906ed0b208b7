import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { compareReports, type Comparison } from "#lib/bench/compare/compare.js";
import { readReport } from "#lib/bench/compare/read.js";
import type { BenchResult } from "#lib/bench/report.js";
import { compareCsv, compareJson, compareText } from "#lib/cli/output/compare.js";
import { P2pError } from "#lib/errors.js";
import { benchReport, benchResult } from "../../../support/loopback-report.js";

const host: Partial<BenchResult> = { path: "host", provider: null };

function slower(factor: number, changes: Partial<BenchResult> = {}): BenchResult {
  const result = benchResult(changes);
  const { samples } = result;
  return {
    ...result,
    samples: {
      ...samples,
      bw_bytes: samples.bw_bytes.map((bw) => bw * factor),
      iops: samples.iops.map((iops) => iops * factor),
      lat_mean_ns: samples.lat_mean_ns.map((latency) => latency / factor),
    },
  };
}

function compared(old: BenchResult[], now: BenchResult[], warnings: string[] = []): Comparison {
  return compareReports(
    { file: "old.json", report: benchReport({ results: old }) },
    { file: "new.json", report: benchReport({ results: now, warnings }) },
    0.05,
  );
}

describe("a comparison for a person", () => {
  it("shows figures, ratios with intervals, and a verdict for each result", () => {
    const text = compareText(
      compared(
        [benchResult(), benchResult(host), benchResult({ iodepth: 1 })],
        [slower(0.8), benchResult(host)],
      ),
    );
    assert.deepEqual(text.split("\n"), [
      "old  old.json: p2pmem 1.2.3, loopback, 2026-01-02T03:04:05.678Z",
      "new  new.json: p2pmem 1.2.3, loopback, 2026-01-02T03:04:05.678Z",
      "",
      "quick",
      "path  bs  depth   old   new        ratio of        ratio of        ratio of  verdict",
      "                  B/s   B/s             B/s         latency             CPU",
      "p2p   4k      8  819M  655M  0.80 0.80-0.80  1.25 1.24-1.26  1.00 0.99-1.01  worse",
      "host  4k      8  819M  819M  1.00 1.00-1.00  1.00 0.99-1.01  1.00 0.99-1.01  within noise",
      "p2p   4k      1     -     -               -               -               -  missing",
      "",
      "Ratios are new / old, with intervals of 95 %. 2 of 3 are worse: quick p2p bs=4k iodepth=8: bw_bytes",
      "by more than 5 %, iops by more than 5 %, lat_mean_ns by more than 5 %; quick p2p bs=4k iodepth=1:",
      "there is no new result.",
      "",
    ]);
  });

  it("does not say that nothing is worse of what it could not judge", () => {
    const few = benchResult({ samples: { ...benchResult().samples, bw_bytes: [1e9] } });
    few.samples.cpu = { ...few.samples.cpu, busy_ns_per_block: [150] };
    for (const name of ["iops", "lat_mean_ns"] as const) few.samples[name] = [1e3];
    const last = (old: BenchResult[], now: BenchResult[]): string =>
      compareText(compared(old, now)).split("intervals of 95 %. ")[1]!.replaceAll(/\s+/g, " ");
    assert.equal(
      last([few], [few]),
      "No result could be judged: 1 with too few samples or unknown figures. ",
    );
    const failed = benchResult({ failed: { code: "IO", message: "it failed", hint: null } });
    assert.equal(
      last([failed], [benchResult()]),
      "No result could be judged: 1 whose old result failed. ",
    );
    assert.equal(last([], []), "No result could be judged: there are none. ");
    assert.equal(
      last([benchResult(host), few], [benchResult(host), few, benchResult({ iodepth: 1 })]),
      "Of 1 of 3 results none is worse by more than 5 % beyond its noise. Not judged: " +
        "1 with too few samples or unknown figures, 1 with nothing to compare with. ",
    );
  });

  it("has a table for each job, and for what else a job sweeps", () => {
    const results = [
      benchResult(),
      benchResult({ job: "matrix", dst: "0000:04:00.0/1" }),
      benchResult({ job: "matrix", dst: "0000:06:00.0/1", provider: "0000:03:00.0/cmb" }),
    ];
    const headings = compareText(compared(results, results))
      .split("\n")
      .filter((line) => /^(quick|matrix)/.test(line));
    assert.deepEqual(headings, [
      "quick",
      "matrix dst=0000:04:00.0/1 provider=0000:05:00.0/bar2",
      "matrix dst=0000:06:00.0/1 provider=0000:03:00.0/cmb",
    ]);
  });

  it("fits into 100 columns with whatever is to be expected, and ? for what is not known", () => {
    const wide: Partial<BenchResult> = { path: "kernel-host", bs: 1023 * 1024, iodepth: 65535 };
    const unknown = slower(1, { path: "cpu" });
    unknown.samples = { ...unknown.samples, bw_bytes: [] };
    const old = [
      slower(0.0012, wide),
      unknown,
      slower(123, { ...host, dst: `/dev/${"x".repeat(90)}` }),
    ];
    const now = [
      slower(150, wide),
      unknown,
      slower(123.4, { ...host, dst: `/dev/${"x".repeat(90)}` }),
    ];
    const text = compareText(compared(old, now, ["a warning of many words ".repeat(12).trim()]));
    const lines = text.split("\n").filter((line) => !line.includes("xxxx"));
    for (const line of lines) assert.ok(line.length <= 100, `${line.length}: ${line}`);
    assert.match(text, /^cpu +4k +8 +\? +\? +\? /m);
    assert.match(text, /^kernel-host +1023k +65535 /m);
    assert.match(text, /^warning: new run: a warning/m);
  });
});

describe("a comparison for programs", () => {
  const comparison = compared(
    [benchResult(), benchResult({ iodepth: 1 })],
    [slower(0.8), benchResult(host)],
  );

  it("is the same object as JSON", () => {
    assert.deepEqual(JSON.parse(compareJson(comparison)), comparison);
  });

  it("is one row for each result as CSV, with empty cells where there is nothing", () => {
    const [header, ...rows] = compareCsv(comparison)
      .trimEnd()
      .split("\r\n")
      .map((line) => line.split(","));
    assert.equal(rows.length, 3);
    const cell = (row: number, name: string): string | undefined =>
      rows[row]![header!.indexOf(name)];
    assert.equal(cell(0, "path"), "p2p");
    assert.equal(cell(0, "verdict"), "worse");
    assert.equal(cell(0, "bw_bytes_verdict"), "worse");
    assert.ok(Math.abs(Number(cell(0, "bw_bytes_ratio")) - 0.8) < 1e-9);
    assert.equal(cell(0, "cpu_busy_ns_per_block_ratio"), "1");
    assert.equal(cell(0, "cpu_busy_ns_per_block_verdict"), "within noise");
    assert.deepEqual([cell(1, "verdict"), cell(1, "bw_bytes_old")], ["missing", ""]);
    assert.deepEqual([cell(2, "verdict"), cell(2, "worse")], ["added", ""]);
  });
});

describe("reading a report", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-compare-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  function file(content: unknown): string {
    const name = join(directory, "report.json");
    writeFileSync(name, typeof content === "string" ? content : JSON.stringify(content));
    return name;
  }

  it("gives what was written", async () => {
    const report = benchReport();
    assert.deepEqual(await readReport(file(report)), report);
  });

  const report = benchReport();
  const bad: [name: string, content: unknown, message: RegExp, hint: RegExp][] = [
    ["empty", "", /report\.json is empty/, /--output-format json/],
    ["no JSON", "{ bw: 1", /report\.json is not JSON/, /--output-format json/],
    ["another object", { results: [] }, /is no report of p2pmem bench/, /--output-format json/],
    ["no object", "[1]", /is no report of p2pmem bench/, /--output-format json/],
    ["null", "null", /is no report/, /--output-format json/],
    ["fio's", { "fio version": "fio-3.33", jobs: [] }, /is no report/, /json\+ is for fio's tools/],
    [
      "of another format",
      { ...report, format: "p2pmem-bench-2" },
      /has the format p2pmem-bench-2, not p2pmem-bench-1/,
      /version of p2pmem that wrote it/,
    ],
    [
      "with a figure that is none",
      { ...report, results: [{ ...benchResult(), bs: "4k" }] },
      /not as p2pmem wrote it: results\.0\.bs: /,
      /--output-format json/,
    ],
  ];
  for (const [name, content, message, hint] of bad)
    it(`refuses a file that is ${name}`, async () => {
      await assert.rejects(readReport(file(content)), (error: P2pError) => {
        assert.equal(error.code, "BAD_REPORT");
        assert.ok(error.isUsage);
        assert.match(error.message, message);
        assert.match(error.hint!, hint);
        return true;
      });
    });

  it("refuses what cannot be read", async () => {
    for (const [name, code] of [
      [join(directory, "none.json"), "ENOENT"],
      [directory, "EISDIR"],
    ] as const)
      await assert.rejects(readReport(name), (error: P2pError) => {
        assert.equal(error.code, "BAD_REPORT");
        assert.equal(error.message, `cannot read ${name}: ${code}`);
        return true;
      });
  });
});
