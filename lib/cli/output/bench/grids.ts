import type { BenchResult } from "../../../bench/report.js";
import { groupBy } from "../../../group-by.js";

/** Results of the same parameters over pairs, one for each at most. */
export interface Grid {
  /** From here each row's data come. */
  rows: readonly string[];
  /** There each column's data go. */
  columns: readonly string[];
  /** Undefined where that pair was not measured. What failed for want of one end is each pair of the other. */
  cell: (row: string, column: string) => BenchResult | undefined;
  /** Any of them, for the parameters that all share. */
  example: BenchResult;
  /** The provider of all; null where they have several, or none beside the axes. */
  provider: string | null;
}

/**
 * What of a job's results makes grids of two rows and two columns or more, and the rest. Data go from
 * the source to the destination; reads go to the provider, and writes come from it.
 */
export function gridsOf(results: readonly BenchResult[]): { grids: Grid[]; rest: BenchResult[] } {
  const order = orderOfDevices(results);
  const grids: Grid[] = [];
  const rest: BenchResult[] = [];
  for (const group of groupBy(results, parametersOf).values()) {
    const whole = gridOf(group, order);
    if (whole !== null) {
      grids.push(whole);
      continue;
    }
    // A pair that has several results has them by several providers.
    for (const part of groupBy(group, ({ provider }) => String(provider)).values()) {
      const grid = gridOf(part, order);
      if (grid === null) rest.push(...part);
      else grids.push(grid);
    }
  }
  return { grids, rest };
}

function parametersOf(result: BenchResult): string {
  const { rw, path, bs, iodepth, numjobs, rwmixread, registration } = result;
  return JSON.stringify([rw, path, bs, iodepth, numjobs, rwmixread, registration]);
}

function gridOf(results: readonly BenchResult[], order: readonly string[]): Grid | null {
  const cells = new Map<string, BenchResult>();
  const failedEnds = new Map<string, BenchResult>();
  const [froms, tos, providers] = [new Set<string>(), new Set<string>(), new Set<string | null>()];
  for (const result of results) {
    const [from, to] = pairOf(result);
    const end = from ?? to;
    if (result.failed !== null && end !== null && (from === null || to === null)) {
      failedEnds.set(end, result);
      (from === null ? tos : froms).add(end);
      continue;
    }
    if (from === null || to === null || cells.has(key(from, to))) return null;
    cells.set(key(from, to), result);
    froms.add(from);
    tos.add(to);
    if (result.failed === null) providers.add(result.provider);
  }
  if (froms.size < 2 || tos.size < 2) return null;
  // Pairs that share nothing are no grid: as a table they say more.
  if (cells.size <= Math.max(froms.size, tos.size)) return null;
  const example = results.find(({ failed }) => failed === null) ?? results[0]!;
  return {
    rows: order.filter((name) => froms.has(name)),
    columns: order.filter((name) => tos.has(name)),
    cell: (row, column) =>
      cells.get(key(row, column)) ?? failedEnds.get(row) ?? failedEnds.get(column),
    example,
    provider: example.rw === "copy" && providers.size === 1 ? example.provider : null,
  };
}

function pairOf({ rw, src, dst, provider }: BenchResult): [from: string | null, to: string | null] {
  if (rw === "copy") return [src, dst];
  return rw === "write" || rw === "randwrite" ? [provider, dst] : [src, provider];
}

/** Rows and columns have devices in the same order: as they first occur as a source, then otherwise. */
function orderOfDevices(results: readonly BenchResult[]): string[] {
  const pairs = results.map(pairOf);
  const names = [...pairs.map(([from]) => from), ...pairs.map(([, to]) => to)];
  return [...new Set(names.filter((name) => name !== null))];
}

function key(from: string, to: string): string {
  return JSON.stringify([from, to]);
}
