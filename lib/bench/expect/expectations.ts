import { combinationsOf, type Combination } from "../combinations.js";
import type { BenchPath } from "../point.js";
import type { BenchResult, ExpectationResult } from "../report.js";
import { evaluate, type Binding, type Finding } from "./evaluate.js";
import { namesIn, type Expression } from "./expression.js";
import type { Expectation } from "./parser.js";

/** What is said of each of several results that failed, before it is only counted. */
const SHOWN = 4;

/**
 * Each expectation for each combination of what its job sweeps. A name with a path is of that path's
 * result of the combination, one without of each result; where a path ran through several providers,
 * for each of them. All must hold. What cannot be evaluated (a path that did not run, a number that is
 * not known, a result that is incomplete) has the outcome `error`.
 */
export function evaluateExpectations(
  list: readonly { job: string; expression: Expectation }[],
  results: readonly BenchResult[],
): ExpectationResult[] {
  const jobs = new Map<string, Combination[]>();
  for (const { job } of list)
    if (!jobs.has(job))
      jobs.set(job, combinationsOf(results.filter((result) => result.job === job)));
  return list.flatMap(({ job, expression: { text, expression } }) => {
    const combinations = jobs.get(job) ?? [];
    if (combinations.length === 0) {
      const detail = "the job has no results";
      return [{ job, expression: text, point: "", outcome: "error" as const, detail }];
    }
    return combinations.map(({ point, results }) => ({
      job,
      expression: text,
      point,
      ...judge(expression, results),
    }));
  });
}

/** A failure outweighs an error: it is certain. */
function judge(expression: Expression, results: readonly BenchResult[]): Finding {
  const names = namesIn(expression);
  const paths = [...new Set(names.flatMap(({ path }) => path ?? []))];
  for (const path of paths)
    if (!results.some((result) => result.path === path))
      return { outcome: "error", detail: `there is no result of the path ${path}` };
  const isOfEach = names.some(({ path }) => path === null);
  const bindings = bindingsOf(paths, isOfEach, results);
  const findings = bindings.map((binding) => ({ binding, ...evaluate(expression, binding) }));
  const outcome =
    (["fail", "error"] as const).find((bad) =>
      findings.some((finding) => finding.outcome === bad),
    ) ?? "pass";
  const telling = findings.filter((finding) => finding.outcome === outcome);
  const details = telling.slice(0, SHOWN).map(({ binding, detail }) => {
    const label = bindings.length > 1 ? describe(binding, results) : "";
    return label === "" ? detail : `${label}: ${detail}`;
  });
  const more = telling.length - details.length;
  return { outcome, detail: [...details, ...(more > 0 ? [`and ${more} more`] : [])].join("; ") };
}

/** Every choice of one result for each path, and of one for the names without. */
function bindingsOf(
  paths: readonly BenchPath[],
  isOfEach: boolean,
  results: readonly BenchResult[],
): Binding[] {
  let bindings: Binding[] = (isOfEach ? results : [null]).map((each) => ({
    each,
    byPath: new Map(),
  }));
  for (const path of paths)
    bindings = bindings.flatMap(({ each, byPath }) =>
      results
        .filter((result) => result.path === path)
        .map((result) => ({ each, byPath: new Map([...byPath, [path, result]]) })),
    );
  return bindings;
}

/** The results that the binding chose where it had a choice: `p2p by 0000:05:00.0/bar2`. */
function describe({ each, byPath }: Binding, results: readonly BenchResult[]): string {
  const isOneOfSeveral = ({ path }: BenchResult): boolean =>
    results.filter((result) => result.path === path).length > 1;
  const chosen = [...byPath.values()].filter(isOneOfSeveral);
  if (each !== null && !chosen.includes(each)) chosen.unshift(each);
  return chosen
    .map((result) =>
      isOneOfSeveral(result) && result.provider !== null
        ? `${result.path} by ${result.provider}`
        : result.path,
    )
    .join(", ");
}
