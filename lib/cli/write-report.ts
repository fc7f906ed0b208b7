import type { LimitedCopyResult } from "../bench/limited-copy.js";
import type { Job } from "./job.js";
import type { OutputFormat } from "./options.js";
import { copyCsv } from "./output/csv.js";
import { copyJson } from "./output/json.js";
import { copyTable } from "./output/normal.js";
import { packageVersion } from "../version.js";
import { notesOf, type CopyReport } from "./report.js";

/** Writes results; a person has read above them which machine and memory they are of. */
export function writeCopyReport(
  { session, output }: Job,
  format: OutputFormat,
  results: LimitedCopyResult[],
): void {
  const report: CopyReport = {
    version: packageVersion(),
    platform: session.platform.kind,
    results,
  };
  // A reader of the other formats finds what a note says in the numbers; it is said all the same.
  if (format !== "normal")
    for (const note of notesOf(results)) process.stderr.write(`p2pmem: note: ${note}\n`);
  if (format === "json") output.write(copyJson(report));
  else if (format === "csv") output.write(copyCsv(report));
  else output.write(copyTable(report));
}
