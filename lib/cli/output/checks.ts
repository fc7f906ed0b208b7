import pc from "picocolors";
import type { Check, CheckStatus } from "../../host/doctor/check.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";

export function checksJson(checks: readonly Check[]): string {
  return stringify({ checks });
}

/** One row for each check. */
export function checksCsv(checks: readonly Check[]): string {
  return rows([
    ["name", "status", "evidence", "fix"],
    ...checks.map(({ name, status, evidence, fix }) => [name, status, evidence, fix]),
  ]);
}

/** One line for each check, and its fix below. */
export function checksText(checks: readonly Check[], withColors: boolean): string {
  const { green, yellow, red, dim } = pc.createColors(withColors);
  const paint: Record<CheckStatus, (text: string) => string> = {
    pass: green,
    warn: yellow,
    fail: red,
    skip: dim,
  };
  const width = Math.max(...checks.map(({ name }) => name.length));
  return checks
    .flatMap(({ name, status, evidence, fix }) => [
      `${paint[status](status)}  ${name.padEnd(width)}  ${evidence}`,
      ...(fix === null ? [] : [`${" ".repeat(width + 8)}fix: ${fix}`]),
    ])
    .map((line) => `${line}\n`)
    .join("");
}
