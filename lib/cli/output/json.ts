import type { CopyReport, DeviceReport } from "../report.js";

/** One object; what is not known, and what no number can say, is null. */
export function copyJson(report: CopyReport): string {
  // The notes are for people: what they say is in the numbers.
  return stringify(report, (key, value) => (key === "notes" ? undefined : value));
}

export function devicesJson(report: DeviceReport): string {
  return stringify(report);
}

export function stringify(
  value: unknown,
  replacer?: (key: string, value: unknown) => unknown,
): string {
  return `${JSON.stringify(value, replacer, 2)}\n`;
}
