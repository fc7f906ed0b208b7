import type { BenchReport } from "#lib/bench/report.js";
import { benchReport } from "./bench-report.js";

/** What must not be found in a page as it is. */
export const MARK = "<img src=x onerror";
const HOSTILE = `"'></title></script>-->${MARK}="document.title='owned'">`;

/** A report of which every text tries to be more than a text. */
export function hostileReport(): BenchReport {
  return hostile(benchReport()) as BenchReport;
}

/** These words choose how something is shown; an address is where a device is looked for. */
const KEPT = /^(format|platform|path|registration|mode|outcome|address|parent|route|link)$/;

function hostile(value: unknown, name = ""): unknown {
  if (typeof value === "string") return KEPT.test(name) ? value : value + HOSTILE;
  if (Array.isArray(value)) return value.map((one) => hostile(one));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, hostile(one, key)]));
}
