import assert from "node:assert/strict";
import { benchCsv } from "#lib/cli/output/bench/csv.js";
import { benchReport, benchResult } from "../../../support/bench-report.js";

/** The fields of each line, read as RFC 4180 has them. */
function parse(text: string): string[][] {
  const lines: string[][] = [];
  let row: string[] = [];
  let at = 0;
  while (at < text.length) {
    const match = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/.exec(text.slice(at));
    assert.ok(match !== null, `no field at ${at}: ${text.slice(at, at + 40)}`);
    row.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
    if (match[3] === "\r\n") {
      lines.push(row);
      row = [];
    }
    at += match[0].length;
  }
  assert.deepEqual(row, [], "the last line ends");
  return lines;
}

/** The value of a result's column. */
function reader(text: string): (row: number, column: string) => string {
  const [header, ...lines] = parse(text);
  return (row, column) => {
    assert.ok(header!.includes(column), `${column} is a column`);
    return lines[row]![header!.indexOf(column)]!;
  };
}

describe("a benchmark's CSV", () => {
  it("has a row for each result, as long as the header, in which no name stands twice", () => {
    const report = benchReport();
    const [header, ...lines] = parse(benchCsv(report));
    assert.equal(lines.length, report.results.length);
    for (const line of lines) assert.equal(line.length, header!.length);
    assert.equal(new Set(header).size, header!.length);
  });

  it("has intervals, percentiles, links and both parts of a mix", () => {
    const report = benchReport();
    const cell = reader(benchCsv(report));
    const [low, high] = report.results[0]!.samples.bw_bytes_ci!;
    assert.equal(cell(0, "bw_bytes_ci_low"), String(low));
    assert.equal(cell(0, "bw_bytes_ci_high"), String(high));
    assert.equal(cell(0, "samples"), "5");
    assert.equal(cell(0, "lat_ns_p99.9"), String(report.results[0]!.lat_ns!.percentile["99.9"]));
    assert.match(cell(0, "link_bytes"), /^0000:19:00\.0=\d+ 0000:1a:00\.0=\d+$/);
    const mix = report.results.findIndex(({ job }) => job === "mix");
    const { read, write } = report.results[mix]!;
    assert.equal(cell(mix, "read_ios"), String(read!.ios));
    assert.equal(cell(mix, "write_lat_ns_p99"), String(write!.lat_ns!.percentile["99"]));
    assert.equal(cell(0, "read_ios"), "");
  });

  it("quotes what needs it, and leaves empty what is not known or no number", () => {
    const report = benchReport();
    report.results[0]!.bw_bytes = NaN;
    report.results[0]!.iops = Infinity;
    const cell = reader(benchCsv(report));
    const last = report.results.length - 1;
    assert.equal(cell(last, "src"), 'file:/mnt/a,b "c".img@0+1073741824');
    assert.equal(cell(last, "bw_bytes_ci_low"), "");
    assert.equal(cell(last, "cpu_busy_ns_per_block"), "");
    assert.equal(cell(last - 1, "root_complex_bytes"), "");
    assert.equal(cell(0, "bw_bytes"), "");
    assert.equal(cell(0, "iops"), "");
    assert.equal(cell(last, "incomplete"), "true");
  });

  it("keeps the columns where they are, whatever percentiles a job asked for", () => {
    const one = { ...benchReport(), results: [benchResult()] };
    const other = benchResult();
    other.lat_ns!.percentile = { "99.9999": 3, "5": 1, "50": 2 };
    const [plain] = parse(benchCsv(one));
    const [header] = parse(benchCsv({ ...one, results: [benchResult(), other] }));
    const fixed = plain!.filter((name) => !/_p[\d.]+$/.test(name));
    assert.deepEqual(header!.slice(0, fixed.length), fixed);
    const percentiles = ["5", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999"];
    assert.deepEqual(
      header!.slice(fixed.length),
      percentiles.map((percent) => `lat_ns_p${percent}`),
    );
  });
});
