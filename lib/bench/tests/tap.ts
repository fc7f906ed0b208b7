import type { BenchReport } from "../report.js";
import { testSuites, type TestCase, type TestSuite } from "./suites.js";

/**
 * The report as TAP 14 (testanything.org): a subtest for each job, a YAML block with what is known of
 * each case, warnings as comments. TAP knows no errors apart from failures: `severity` tells them apart.
 */
export function tapText(report: BenchReport): string {
  const suites = testSuites(report);
  const lines = [
    "TAP version 14",
    `# p2pmem ${report.version}: ${report.command.map(oneLine).join(" ")}`,
    `1..${suites.length}`,
    ...suites.flatMap((suite, index) => [
      `# Subtest: ${oneLine(suite.name)}`,
      ...subtest(suite).map((line) => `    ${line}`),
      point(
        suite.cases.every(({ outcome }) => outcome === "pass"),
        index,
        suite.name,
      ),
    ]),
  ];
  return `${lines.join("\n")}\n`;
}

function subtest({ cases, warnings }: TestSuite): string[] {
  return [
    `1..${cases.length}`,
    ...cases.flatMap((test, index) => [
      point(test.outcome === "pass", index, test.name),
      ...diagnostics(test).map((line) => `  ${line}`),
    ]),
    ...warnings.map((warning) => `# warning: ${oneLine(warning)}`),
  ];
}

function point(ok: boolean, index: number, name: string): string {
  // A # would begin a directive (TODO, SKIP), and backslashes escape it.
  const description = oneLine(name).replaceAll(/[\\#]/g, "\\$&");
  return `${ok ? "ok" : "not ok"} ${index + 1} - ${description}`;
}

/** A string of JSON is one of YAML. */
function diagnostics({ outcome, type, detail, seconds }: TestCase): string[] {
  const facts = [
    ...(detail === "" ? [] : [`message: ${yamlString(detail)}`]),
    ...(outcome === "pass" ? [] : [`severity: ${outcome}`, `type: ${type}`]),
    ...(seconds === 0 ? [] : [`duration_ms: ${Number((seconds * 1e3).toFixed(3))}`]),
  ];
  return facts.length === 0 ? [] : ["---", ...facts, "..."];
}

function yamlString(text: string): string {
  // What YAML 1.2 §5.1 does not let stand as it is, and JSON does.
  return JSON.stringify(text).replaceAll(
    /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function oneLine(text: string): string {
  // Lines must not end, nor a terminal be told anything.
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
}
