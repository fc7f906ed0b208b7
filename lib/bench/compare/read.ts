import { readFileSync } from "node:fs";
import { P2pError } from "../../errors.js";
import { REPORT_FORMAT, type BenchReport } from "../report.js";

const HOW = "p2pmem bench --output-format json --output FILE writes one";

/** Reads what `bench` wrote as JSON. Errors: BAD_REPORT, with the file and what is wrong with it. */
export async function readReport(file: string): Promise<BenchReport> {
  const value = parse(file, readText(file));
  const format = typeof value === "object" && value !== null && "format" in value && value.format;
  if (typeof format !== "string" || !format.startsWith("p2pmem-bench-"))
    throw new P2pError("BAD_REPORT", `${file} is no report of p2pmem bench`, {
      hint: looksLikeFio(value) ? `json+ is for fio's tools; ${HOW}` : HOW,
    });
  if (format !== REPORT_FORMAT)
    throw new P2pError("BAD_REPORT", `${file} has the format ${format}, not ${REPORT_FORMAT}`, {
      hint: "measure again, or compare with the version of p2pmem that wrote it",
    });
  // Commands that read no report do not wait for it to load.
  const { reportSchema } = await import("../report-schema.js");
  const parsed = reportSchema.safeParse(value);
  if (parsed.success) return value as BenchReport;
  const [issue] = parsed.error.issues;
  const field = issue?.path.map(String).join(".") ?? "";
  const what = `${field === "" ? "" : `${field}: `}${issue?.message ?? "not as written"}`;
  throw new P2pError("BAD_REPORT", `${file} is not as p2pmem wrote it: ${what}`, { hint: HOW });
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    const { errno, code, syscall } = cause as NodeJS.ErrnoException;
    throw new P2pError("BAD_REPORT", `cannot read ${file}: ${code}`, {
      ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
      ...(syscall === undefined ? {} : { syscall }),
      hint: `name two reports; ${HOW}`,
      cause,
    });
  }
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const what = text.trim() === "" ? "is empty" : "is not JSON";
    throw new P2pError("BAD_REPORT", `${file} ${what}`, { hint: HOW, cause });
  }
}

function looksLikeFio(value: unknown): boolean {
  return typeof value === "object" && value !== null && "fio version" in value;
}
