import type { BenchReport } from "../../../bench/report.js";
import { stringify } from "../json.js";

/** The report as it is, as schema/bench-report.schema.json has it; what no number can say is null. */
export function benchJson(report: BenchReport): string {
  return stringify(report);
}
