import { byJob, resultName, varyingFields } from "../../../bench/combinations.js";
import type { BenchReport, BenchResult, ExpectationResult } from "../../../bench/report.js";
import { groupBy } from "../../../group-by.js";
import { counted } from "../../../units.js";
import { wrapWords } from "../text.js";
import type { Colors } from "./result-table.js";

const OUTCOMES = ["pass", "fail", "error"] as const;

/** How many held, then each: what was expected, and what its sides were. */
export function expectationLines(
  expectations: readonly ExpectationResult[],
  colors: Colors,
): string[] {
  if (expectations.length === 0) return [];
  const paint = { pass: colors.green, fail: colors.red, error: colors.red };
  const counts = OUTCOMES.map((outcome) => ({
    outcome,
    count: expectations.filter((expectation) => expectation.outcome === outcome).length,
  }));
  return [
    `expectations: ${counts.map(({ outcome, count }) => `${count} ${outcome}`).join(", ")}`,
    ...expectations.flatMap(({ job, expression, point, outcome, detail }) => {
      const where = point === "" ? job : `${job} ${point}`;
      const text = `${outcome.padEnd(5)} ${where}: ${expression}: ${detail}`;
      return painted(wrapWords(text, "  ", " ".repeat(8)), outcome, paint[outcome]);
    }),
  ];
}

/** What verifying found, and the first place where. */
export function mismatchLines(results: readonly BenchResult[], { red }: Colors): string[] {
  return [...byJob(results).values()].flatMap((ofJob) =>
    ofJob.flatMap((result) => {
      const { verify } = result;
      if (verify === null || verify.mismatches === 0) return [];
      const blocks = `${verify.mismatches} of ${counted(verify.blocks, "block")}`;
      const first = verify.first === null ? "" : `; first: ${verify.first}`;
      const text = `mismatch: ${nameOf(result, ofJob)}: ${blocks}${first}`;
      return painted(wrapWords(text, "", "  "), "mismatch:", red);
    }),
  );
}

/** What failed, and why; where several failed alike the first, and how many. */
export function failureLines(results: readonly BenchResult[], { red }: Colors): string[] {
  return [...byJob(results).values()].flatMap((ofJob) => {
    const alike = groupBy(
      ofJob.filter(({ failed }) => failed !== null),
      ({ failed }) => JSON.stringify(failed),
    );
    return [...alike.values()].flatMap((some) => {
      const { code, message, hint } = some[0]!.failed!;
      const more = some.length === 1 ? "" : ` (and ${some.length - 1} more)`;
      const advice = hint === null ? "" : `; hint: ${hint}`;
      const text = `failed: ${nameOf(some[0]!, ofJob)}${more}: ${code}: ${message}${advice}`;
      return painted(wrapWords(text, "", "  "), "failed:", red);
    });
  });
}

/** Those of the run, then those of results, each once with the results that have it. */
export function warningLines({ warnings, results }: BenchReport, { yellow }: Colors): string[] {
  const texts = [...warnings];
  for (const ofJob of byJob(results).values()) {
    const holders = new Map<string, BenchResult[]>();
    for (const result of ofJob)
      for (const text of result.warnings) holders.set(text, [...(holders.get(text) ?? []), result]);
    for (const [text, some] of holders) texts.push(`${holdersOf(some, ofJob)}: ${text}`);
  }
  return texts.flatMap((text) =>
    painted(wrapWords(`warning: ${text}`, "", "  "), "warning:", yellow),
  );
}

function holdersOf(some: readonly BenchResult[], ofJob: readonly BenchResult[]): string {
  const [first] = some;
  return some.length === 1 ? nameOf(first!, ofJob) : `${first!.job}, ${some.length} of its results`;
}

function nameOf(result: BenchResult, ofJob: readonly BenchResult[]): string {
  return resultName(result, varyingFields(ofJob));
}

function painted(lines: string[], word: string, paint: (word: string) => string): string[] {
  const [first = "", ...rest] = lines;
  return [first.replace(word, paint), ...rest];
}
