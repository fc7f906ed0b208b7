import type { BenchReport } from "../report.js";
import { testSuites, type TestCase, type TestSuite } from "./suites.js";

/**
 * The report as JUnit XML, as Jenkins, GitLab and their like read it: a suite for each job. There is no
 * one schema; this keeps to what both Ant's and Jenkins's allow, their required parts all there.
 */
export function junitXml(report: BenchReport): string {
  const suites = testSuites(report).map((suite, index) => suiteXml(report, suite, index));
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join("")}</testsuites>\n`;
}

function suiteXml(report: BenchReport, suite: TestSuite, index: number): string {
  const { cases, name } = suite;
  const count = (outcome: TestCase["outcome"]): number =>
    cases.filter((test) => test.outcome === outcome).length;
  const attributes = list({
    ...{ name, package: "p2pmem", id: index },
    ...{ tests: cases.length, failures: count("fail"), errors: count("error") },
    time: suite.seconds.toFixed(3),
    // Both schemas take it without a time zone; it is UTC.
    timestamp: report.started.slice(0, 19),
    hostname: report.machine.hostname,
  });
  return [
    `  <testsuite ${attributes}>\n`,
    `    <properties>\n${propertiesXml(report)}    </properties>\n`,
    ...cases.map((test) => caseXml(name, test)),
    `    <system-out>${escape(passed(cases).join("\n"))}</system-out>\n`,
    `    <system-err>${escape(suite.warnings.join("\n"))}</system-err>\n`,
    "  </testsuite>\n",
  ].join("");
}

function propertiesXml({ version, platform, command, machine }: BenchReport): string {
  const properties = {
    ...{ "p2pmem.version": version, platform, command: command.join(" ") },
    ...{ kernel: machine.kernel, cpu: machine.cpu.model, iommu: machine.iommu ?? "unknown" },
  };
  return Object.entries(properties)
    .map(([name, value]) => `      <property ${list({ name, value })}/>\n`)
    .join("");
}

function caseXml(suite: string, { name, outcome, type, detail, seconds }: TestCase): string {
  const attributes = list({ name, classname: `p2pmem.${suite}`, time: seconds.toFixed(3) });
  if (outcome === "pass") return `    <testcase ${attributes}/>\n`;
  const element = outcome === "fail" ? "failure" : "error";
  const failure = `<${element} ${list({ message: detail, type })}>${escape(detail)}</${element}>`;
  return `    <testcase ${attributes}>\n      ${failure}\n    </testcase>\n`;
}

/** The values of what passed have no place in a case. */
function passed(cases: readonly TestCase[]): string[] {
  return cases
    .filter(({ outcome, detail }) => outcome === "pass" && detail !== "")
    .map(({ name, detail }) => `${name}: ${detail}`);
}

function list(attributes: Record<string, string | number>): string {
  return Object.entries(attributes)
    .map(([name, value]) => `${name}="${escape(String(value)).replaceAll('"', "&quot;")}"`)
    .join(" ");
}

/** What XML 1.0 (§2.2) cannot have, not even escaped, is replaced: control characters, half surrogates. */
function escape(text: string): string {
  return (
    text
      .replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ud800-\udfff\ufffe\uffff]/gu, "\ufffd")
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      // Else attributes lose them, and line ends change.
      .replaceAll(/[\t\n\r]/g, (blank) => `&#${blank.charCodeAt(0)};`)
  );
}
