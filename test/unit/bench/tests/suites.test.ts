import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { Parser, type FinalResults, type Result } from "tap-parser";
import { validateXML } from "xmllint-wasm";
import type { BenchReport, BenchResult, ExpectationResult } from "#lib/bench/report.js";
import { junitXml } from "#lib/bench/tests/junit.js";
import { tapText } from "#lib/bench/tests/tap.js";
import { benchReport, benchResult } from "../../../support/loopback-report.js";
import { readXml, type Element } from "../../../support/xml.js";

const XSD = readFileSync(new URL("../../../../test/fixtures/junit.xsd", import.meta.url), "utf8");

const host: Partial<BenchResult> = { path: "host", provider: null };

function expected(changes: Partial<ExpectationResult> = {}): ExpectationResult {
  return {
    job: "quick",
    expression: "p2p.bw_bytes >= host.bw_bytes",
    point: "bs=4k iodepth=8",
    outcome: "pass",
    detail: "p2p.bw_bytes = 2 >= host.bw_bytes = 1",
    ...changes,
  };
}

const verified = {
  mode: "crc32c",
  blocks: 10,
  mismatches: 0,
  first: null,
  runtime_ns: 1e9,
} as const;
const wrong = { ...verified, mismatches: 2, first: 'block 3 is block 4 <swapped> & "torn"' };

/** A job with expectations of each outcome, and one with none. */
const mixed = benchReport({
  results: [
    benchResult(),
    benchResult({ ...host, warnings: ["4 blocks in flight, not 8"] }),
    benchResult({ job: "soak", runtime_ns: 2.5e9, verify: verified }),
    benchResult({ ...host, job: "soak", verify: wrong, runtime_ns: 1e9 }),
    benchResult({ job: "soak", path: "cpu", incomplete: true }),
  ],
  expectations: [
    expected(),
    expected({ outcome: "fail", detail: "p2p.bw_bytes = 1 not >= host.bw_bytes = 2" }),
    expected({ outcome: "error", detail: "there is no result of the path host" }),
  ],
  warnings: ["steal took 5 % of the CPU"],
});

/** By libxml2. */
async function schemaErrors(contents: string): Promise<string[]> {
  const xml = [{ fileName: "results.xml", contents }];
  return (await validateXML({ xml, schema: [XSD] })).errors.map(({ message }) => message);
}

function suitesOf(report: BenchReport): Element[] {
  return readXml(junitXml(report)).children;
}

describe("a report as JUnit XML", () => {
  it("has a suite for each job, with its expectations, or its results where it has none", () => {
    const [quick, soak, ...more] = suitesOf(mixed);
    assert.deepEqual(more, []);
    const facts = (suite: Element): unknown[] =>
      ["name", "tests", "failures", "errors", "time", "id"].map((name) => suite.attributes[name]);
    assert.deepEqual(facts(quick!), ["quick", "3", "1", "1", "10.000", "0"]);
    assert.deepEqual(facts(soak!), ["soak", "3", "1", "1", "10.500", "1"]);
    assert.equal(quick!.attributes.timestamp, "2026-01-02T03:04:05");
    const cases = (suite: Element): Element[] =>
      suite.children.filter((c) => c.name === "testcase");
    assert.deepEqual(
      cases(quick!).map(({ attributes, children }) => [
        attributes.name,
        ...children.map(({ name, text }) => `${name}: ${text}`),
      ]),
      [
        ["p2p.bw_bytes >= host.bw_bytes (bs=4k iodepth=8)"],
        [
          "p2p.bw_bytes >= host.bw_bytes (bs=4k iodepth=8)",
          "failure: p2p.bw_bytes = 1 not >= host.bw_bytes = 2",
        ],
        [
          "p2p.bw_bytes >= host.bw_bytes (bs=4k iodepth=8)",
          "error: there is no result of the path host",
        ],
      ],
    );
    assert.deepEqual(
      cases(soak!).map(({ attributes, children }) => [
        attributes.name,
        attributes.time,
        ...children.map(({ name, text }) => `${name}: ${text}`),
      ]),
      [
        ["p2p by 0000:05:00.0/bar2 (bs=4k iodepth=8)", "3.500"],
        [
          "host (bs=4k iodepth=8)",
          "2.000",
          'failure: 2 of 10 blocks not as written; the first: block 3 is block 4 <swapped> & "torn"',
        ],
        [
          "cpu by 0000:05:00.0/bar2 (bs=4k iodepth=8)",
          "5.000",
          "error: interrupted before its last sample",
        ],
      ],
    );
  });

  it("shows warnings, and the values of what passed", () => {
    const [quick, soak] = suitesOf(mixed);
    const text = (suite: Element, name: string): string =>
      suite.children.find((child) => child.name === name)!.text;
    assert.equal(
      text(quick!, "system-err"),
      "steal took 5 % of the CPU\n4 blocks in flight, not 8",
    );
    assert.match(text(quick!, "system-out"), /: p2p\.bw_bytes = 2 >= host\.bw_bytes = 1$/);
    assert.match(text(soak!, "system-out"), /: 10 blocks verified by crc32c$/);
  });

  it("fails a job with expectations for data that is not right, too", () => {
    const [suite] = suitesOf(
      benchReport({ results: [benchResult({ verify: wrong })], expectations: [expected()] }),
    );
    assert.deepEqual([suite!.attributes.tests, suite!.attributes.failures], ["2", "1"]);
  });

  it("has an error where the run was interrupted, whatever the results", () => {
    const suites = suitesOf(benchReport({ incomplete: true, results: [] }));
    assert.equal(suites.length, 1);
    assert.equal(suites[0]!.attributes.errors, "1");
    assert.match(junitXml(benchReport({ incomplete: true })), /the run is complete/);
  });

  it("validates against the schema, with jobs, without, and interrupted", async () => {
    for (const report of [mixed, benchReport({ results: [] }), benchReport({ incomplete: true })])
      assert.deepEqual(await schemaErrors(junitXml(report)), []);
    const [error] = await schemaErrors(junitXml(mixed).replace('failures="1"', ""));
    assert.match(error ?? "", /failures/);
  });

  it("says any text as it is, but for what XML cannot have", () => {
    const unit = fc.oneof(
      fc.constantFrom(
        "<",
        "&",
        '"',
        "'",
        "]]>",
        "\n",
        "\t",
        "\r",
        "\0",
        "\x1b",
        "\ud800",
        "\ufffe",
      ),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(unit), (parts) => {
        const text = `x${parts.join("")}`;
        const report = benchReport({
          expectations: [expected({ expression: text, outcome: "fail", detail: text, point: "" })],
        });
        const test = suitesOf(report)[0]!.children.find(({ name }) => name === "testcase")!;
        const shown = text.replaceAll(
          /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu,
          "\ufffd",
        );
        assert.equal(test.attributes.name, shown);
        assert.equal(test.children[0]!.text, shown);
      }),
      { numRuns: 200 },
    );
  });
});

/** The subtests, by a parser of its own. */
function readTap(text: string): { results: FinalResults; subtests: Map<string, Result[]> } {
  const subtests = new Map<string, Result[]>();
  let results: FinalResults | undefined;
  const parser = new Parser({ strict: true }, (all) => (results = all));
  parser.on("child", (child: Parser) => {
    const points: Result[] = [];
    subtests.set(child.name, points);
    child.on("assert", (point: Result) => points.push(point));
  });
  parser.end(text);
  assert.ok(results !== undefined);
  return { results, subtests };
}

/** What its YAML block says. */
function factsOf({ diag }: Result): Record<string, unknown> {
  return (diag ?? {}) as Record<string, unknown>;
}

describe("a report as TAP 14", () => {
  it("is read by a strict parser as the same cases", () => {
    const { results, subtests } = readTap(tapText(mixed));
    assert.deepEqual(
      [results.count, results.fail, results.failures.filter((f) => f.tapError)],
      [2, 2, []],
    );
    assert.deepEqual(
      subtests
        .get("quick")!
        .map((point) => [point.ok, factsOf(point).severity, factsOf(point).message]),
      [
        [true, undefined, "p2p.bw_bytes = 2 >= host.bw_bytes = 1"],
        [false, "fail", "p2p.bw_bytes = 1 not >= host.bw_bytes = 2"],
        [false, "error", "there is no result of the path host"],
      ],
    );
    assert.deepEqual(
      subtests.get("soak")!.map((point) => [point.ok, factsOf(point).type, point.time]),
      [
        [true, undefined, 3500],
        [false, "verification", 2000],
        [false, "incomplete", 5000],
      ],
    );
  });

  it("is ok where all is, and not where the run was interrupted", () => {
    const passing = benchReport({ expectations: [expected()] });
    assert.equal(readTap(tapText(passing)).results.ok, true);
    assert.equal(readTap(tapText({ ...passing, incomplete: true })).results.ok, false);
    assert.equal(readTap(tapText(benchReport({ results: [] }))).results.count, 0);
  });

  it("keeps any text in its line, and directives out of it", () => {
    const unit = fc.oneof(
      fc.constantFrom(
        "#",
        "\\",
        " # TODO ",
        "\n",
        "\r",
        "\0",
        "...",
        "---",
        " {",
        "\u2028",
        "ok 1",
      ),
      fc.string({ unit: "binary", maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(unit), (parts) => {
        const text = `x${parts.join("")}x`;
        const report = benchReport({
          command: [text],
          expectations: [expected({ expression: text, outcome: "fail", detail: text, point: "" })],
          warnings: [text],
        });
        const { results, subtests } = readTap(tapText(report));
        assert.deepEqual([results.count, results.fail, results.todo, results.skip], [1, 1, 0, 0]);
        const [point, ...more] = subtests.get("quick")!;
        assert.deepEqual(more, []);
        assert.equal(point!.ok, false);
        assert.equal(point!.todo, false);
        assert.equal(factsOf(point!).message, text);
      }),
      { numRuns: 200 },
    );
  });
});
