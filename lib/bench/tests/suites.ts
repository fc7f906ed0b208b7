import { counted } from "../../units.js";
import { describe, numbered, sweptOf } from "../combinations.js";
import type { BenchReport, BenchResult, ExpectationResult } from "../report.js";

/** A report as test runners have it: each job is a suite. */
export interface TestSuite {
  name: string;
  cases: TestCase[];
  /** What its samples and their verification took. */
  seconds: number;
  /** Of its results, and of the whole report. */
  warnings: string[];
}

export interface TestCase {
  name: string;
  outcome: "pass" | "fail" | "error";
  /** What kind of failure: `expectation`, `verification`, `incomplete`, or the code of an error. */
  type: string;
  /** Values, or what is wrong; empty where there is nothing to say. */
  detail: string;
  /** What was run for it; an expectation runs nothing of its own. */
  seconds: number;
}

/**
 * The cases of a job are its expectations, for each combination, and without any its results: that they
 * ran to their end and were verified, if they were. Data that is not right fails in any case, and so does
 * what failed or was interrupted.
 */
export function testSuites(report: BenchReport): TestSuite[] {
  const { results, expectations, incomplete, warnings } = report;
  const jobs = new Set([...results, ...expectations].map(({ job }) => job));
  const suites = [...jobs].map((name) => {
    const own = results.filter(({ job }) => job === name);
    const expected = expectations.filter(({ job }) => job === name);
    const ran = resultCases(own);
    const said = own.flatMap((result) => result.warnings);
    return {
      name,
      cases:
        expected.length === 0
          ? ran
          : [...expected.map(expectationCase), ...ran.filter(({ outcome }) => outcome !== "pass")],
      seconds: ran.reduce((sum, { seconds }) => sum + seconds, 0),
      warnings: [...new Set([...warnings, ...said])],
    };
  });
  return incomplete ? [...suites, endedEarly()] : suites;
}

function expectationCase({ expression, point, outcome, detail }: ExpectationResult): TestCase {
  const name = point === "" ? expression : `${expression} (${point})`;
  return { name, outcome, type: "expectation", detail, seconds: 0 };
}

function resultCases(results: readonly BenchResult[]): TestCase[] {
  const swept = sweptOf(results);
  return numbered(results).map(({ result, occurrence }) => {
    const { path, provider, verify, incomplete, failed, runtime_ns } = result;
    const through = provider === null ? path : `${path} by ${provider}`;
    const isWrong = (verify?.mismatches ?? 0) > 0;
    return {
      name: `${through} (${describe(result, occurrence, swept)})`,
      outcome: isWrong ? "fail" : incomplete || failed !== null ? "error" : "pass",
      type: isWrong ? "verification" : (failed?.code ?? "incomplete"),
      detail: isWrong ? wrong(verify) : detailOf(result),
      seconds: (runtime_ns + (verify?.runtime_ns ?? 0)) / 1e9,
    };
  });
}

function detailOf({ failed, incomplete, verify }: BenchResult): string {
  if (failed !== null) return `${failed.code}: ${failed.message}`;
  if (incomplete) return "interrupted before its last sample";
  if (verify?.blocks === 0) return "there was no block to be verified";
  return verify === null ? "" : `${counted(verify.blocks, "block")} verified by ${verify.mode}`;
}

function wrong(verify: BenchResult["verify"]): string {
  const { mismatches = 0, blocks = 0, first = null } = verify ?? {};
  const what = `${mismatches} of ${counted(blocks, "block")} not as written`;
  return first === null ? what : `${what}; the first: ${first}`;
}

function endedEarly(): TestSuite {
  const detail = "the run ended early; the other results are what there was until then";
  const whole = { name: "the run is complete", type: "incomplete", detail, seconds: 0 };
  return {
    name: "p2pmem bench",
    cases: [{ ...whole, outcome: "error" }],
    seconds: 0,
    warnings: [],
  };
}
