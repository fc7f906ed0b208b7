import type { BenchResult } from "../../../bench/report.js";
import { shortSize } from "../../../units.js";

/** What tells the results of a job apart, by the names of job files. */
const IDENTITY = [
  ...(["rw", "path", "provider", "src", "dst", "bs", "iodepth", "numjobs"] as const),
  ...(["rwmixread", "registration"] as const),
] as const;

export type IdentityField = (typeof IDENTITY)[number];

/** The fields in which these results, of one job, differ; a provider that only some have is none. */
export function varyingFields(results: readonly BenchResult[]): IdentityField[] {
  return IDENTITY.filter((field) => {
    const values = new Set(results.map((result) => result[field]));
    if (field === "provider") values.delete(null);
    return values.size > 1;
  });
}

/** `path=p2p bs=4k iodepth=8`: the given fields, where they have a value. */
export function pointName(result: BenchResult, fields: readonly IdentityField[]): string {
  return fields
    .filter((field) => result[field] !== null)
    .map((field) => `${field}=${field === "bs" ? shortSize(result.bs) : String(result[field])}`)
    .join(" ");
}
