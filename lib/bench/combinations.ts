import { groupBy } from "../group-by.js";
import { shortSize } from "../units.js";
import { isKernelPath } from "./point.js";
import type { BenchResult } from "./report.js";

/** The results of one combination of what a job sweeps: what its paths and providers did with it. */
export interface Combination {
  /** `bs=4k iodepth=8`, and what else the job sweeps. */
  point: string;
  results: readonly BenchResult[];
}

/** What tells the results of a job apart, by the names of job files. */
const IDENTITY = [
  ...(["rw", "path", "provider", "src", "dst", "bs", "iodepth", "numjobs"] as const),
  ...(["rwmixread", "registration"] as const),
] satisfies (keyof BenchResult)[];
type IdentityField = (typeof IDENTITY)[number];

/** The parameters of a combination: all but the way. */
type Parameter = Exclude<IdentityField, "path" | "provider">;
const PARAMETERS = IDENTITY.filter(
  (name): name is Parameter => name !== "path" && name !== "provider",
);

/** What a result is a result of, but for what the report does not show: see numbered(). */
export function identityOf(result: BenchResult): string {
  return JSON.stringify([result.job, ...IDENTITY.map((name) => result[name])]);
}

export function byJob(results: readonly BenchResult[]): Map<string, BenchResult[]> {
  return groupBy(results, ({ job }) => job);
}

/** The fields in which these results, of one job, differ; a provider that only some have is none. */
export function varyingFields(results: readonly BenchResult[]): IdentityField[] {
  return IDENTITY.filter((field) => {
    const values = new Set(results.map((result) => result[field]));
    if (field === "provider") values.delete(null);
    return values.size > 1;
  });
}

/** The job, and these fields where they have a value: `sweep path=p2p bs=4k iodepth=8`. */
export function resultName(result: BenchResult, fields: readonly IdentityField[]): string {
  const known = fields.filter((field) => result[field] !== null);
  return [result.job, ...known.map((field) => fieldWord(result, field))].join(" ");
}

function fieldWord(result: BenchResult, field: IdentityField): string {
  return `${field}=${field === "bs" ? shortSize(result.bs) : (result[field] ?? "none")}`;
}

/**
 * Results with how many of the same identity came before. A report has none twice, unless something was
 * swept that it does not show; then each path and each run has them in the same order.
 */
export function numbered(
  results: readonly BenchResult[],
): { result: BenchResult; occurrence: number }[] {
  const seen = new Map<string, number>();
  return results.map((result) => {
    const identity = identityOf(result);
    const occurrence = seen.get(identity) ?? 0;
    seen.set(identity, occurrence + 1);
    return { result, occurrence };
  });
}

/**
 * A job's results, put together by combination, in the order of the first of each. The kernel's driver
 * knows its devices by names of its own: its results belong to all combinations that have their
 * parameters, whatever the endpoints.
 */
export function combinationsOf(results: readonly BenchResult[]): Combination[] {
  const all = numbered(results);
  const isOnlyKernel = results.every(isKernel);
  const keyOf = ({ result, occurrence }: (typeof all)[number], withEndpoints: boolean): string =>
    JSON.stringify([
      occurrence,
      ...PARAMETERS.filter((name) => withEndpoints || !isEndpoint(name)).map(
        (name) => result[name],
      ),
    ]);
  const groups = new Map<string, { open: string; members: typeof all }>();
  for (const entry of all) {
    if (isKernel(entry.result) && !isOnlyKernel) continue;
    const key = keyOf(entry, true);
    const group = groups.get(key) ?? { open: keyOf(entry, false), members: [] };
    group.members.push(entry);
    groups.set(key, group);
  }
  if (!isOnlyKernel)
    for (const entry of all.filter(({ result }) => isKernel(result))) {
      const open = keyOf(entry, false);
      const fitting = [...groups.values()].filter((group) => group.open === open);
      for (const { members } of fitting) members.push(entry);
      // No other path had these parameters: a combination of the kernel's own.
      if (fitting.length === 0) groups.set(keyOf(entry, true), { open, members: [entry] });
    }
  const swept = sweptOf(results.filter((result) => isOnlyKernel || !isKernel(result)));
  return [...groups.values()].map(({ members }) => ({
    point: describe(members[0]!.result, members[0]!.occurrence, swept),
    results: members.map(({ result }) => result),
  }));
}

/** The parameters that differ among a job's results; block size and depth always. */
export function sweptOf(results: readonly BenchResult[]): Parameter[] {
  return PARAMETERS.filter(
    (name) =>
      name === "bs" ||
      name === "iodepth" ||
      new Set(results.map((result) => result[name])).size > 1,
  );
}

/** `bs=4k iodepth=8`; of one that came before with all the same, `#2` behind it. */
export function describe(
  result: BenchResult,
  occurrence: number,
  swept: readonly Parameter[],
): string {
  const words = swept.map((name) => fieldWord(result, name));
  return [...words, ...(occurrence > 0 ? [`#${occurrence + 1}`] : [])].join(" ");
}

function isKernel({ path }: BenchResult): boolean {
  return isKernelPath(path);
}

function isEndpoint(name: Parameter): boolean {
  return name === "src" || name === "dst";
}
