import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { benchCsv } from "#lib/cli/output/bench/csv.js";
import { benchFioJson } from "#lib/cli/output/bench/fio.js";
import { benchJson } from "#lib/cli/output/bench/json.js";
import { benchText } from "#lib/cli/output/bench/normal.js";
import { benchReport } from "../../../support/bench-report.js";

const DIRECTORY = new URL("../../../../test/fixtures/report/", import.meta.url);
const WRITTEN = new Date(2026, 2, 1, 12, 5, 7);

/** One of each kind, where the formats repeat for all what is in one. */
function shortReport(): BenchReport {
  const report = benchReport();
  const isWanted = ({ job, path, failed }: BenchResult): boolean =>
    job === "mix" || job === "kernel" || path === "rdma-p2p" || failed !== null;
  return { ...report, results: [report.results[0]!, ...report.results.filter(isWanted)] };
}

/** With P2PMEM_UPDATE_GOLDEN set the file is written anew, to be looked at before it is committed. */
function compare(name: string, text: string): void {
  const file = new URL(name, DIRECTORY);
  if ((process.env["P2PMEM_UPDATE_GOLDEN"] ?? "") !== "") writeFileSync(file, text);
  assert.equal(text, readFileSync(file, "utf8"));
}

describe("a benchmark's report as text", () => {
  it("is this table", () => {
    compare("normal.txt", benchText(benchReport(), false));
  });

  it("is this JSON", () => {
    compare("report.json", benchJson(shortReport()));
  });

  it("is this CSV", () => {
    compare("report.csv", benchCsv(benchReport()));
  });

  it("is this json+", () => {
    // The stamp depends on the time zone, the local time does not.
    const text = benchFioJson(shortReport(), WRITTEN);
    compare("fio.json", text.replaceAll(/("timestamp\w*": )\d+/g, "$10"));
  });
});
