import { P2pError } from "../errors.js";
import type { BenchReport } from "./report.js";

/** After these nothing else can run either, or should. */
const ENDS_ALL = new Set(["INTERRUPTED", "INTERNAL", "WRITE_NOT_ALLOWED"]);

/** Whether the others may go on: the mistake is not in what was typed, and not in p2pmem. */
export function isOfOnePoint(error: unknown): error is P2pError {
  return error instanceof P2pError && !error.isUsage && !ENDS_ALL.has(error.code);
}

/**
 * A benchmark that ended early by its signal (INTERRUPTED), or of which something failed: the code is that
 * of the first failure.
 */
export class BenchError extends P2pError {
  /** Whole, with results that say that they failed; or what there was until then, marked as incomplete. */
  readonly report: BenchReport;

  constructor(cause: Error, report: BenchReport) {
    const { code, ...details } =
      cause instanceof P2pError ? cause : { code: "INTERNAL", hint: "this is a bug in p2pmem" };
    super(code, cause.message, { ...details, cause });
    this.report = report;
  }
}
