import type { BenchResult } from "../../../bench/report.js";

/** The results of each job, in the order that the report has them. */
export function byJob(results: readonly BenchResult[]): Map<string, BenchResult[]> {
  return groupBy(results, ({ job }) => job);
}

export function groupBy(
  results: readonly BenchResult[],
  keyOf: (result: BenchResult) => string,
): Map<string, BenchResult[]> {
  const groups = new Map<string, BenchResult[]>();
  for (const result of results) {
    const group = groups.get(keyOf(result));
    if (group === undefined) groups.set(keyOf(result), [result]);
    else group.push(result);
  }
  return groups;
}
