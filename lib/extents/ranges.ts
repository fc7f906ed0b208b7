/** [start, end) */
export interface Range {
  readonly start: number;
  readonly end: number;
}

/** Sorted, overlapping and adjacent ones joined. */
export function merge(ranges: readonly Range[]): Range[] {
  const merged: { start: number; end: number }[] = [];
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = merged.at(-1);
    if (last && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else merged.push({ ...range });
  }
  return merged;
}

/** What is left of `range` without the sorted, disjoint `holes`. */
export function subtract(range: Range, holes: readonly Range[]): Range[] {
  const rest: Range[] = [];
  let start = range.start;
  for (const hole of holes) {
    if (hole.end <= start || hole.start >= range.end) continue;
    if (hole.start > start) rest.push({ start, end: hole.start });
    start = hole.end;
  }
  if (start < range.end) rest.push({ start, end: range.end });
  return rest;
}

/** True where one of the sorted, disjoint `ranges` has all of [start, end). */
export function contains(ranges: readonly Range[], start: number, end: number): boolean {
  const range = ranges[countBelow(ranges, end) - 1];
  return range !== undefined && range.start <= start && end <= range.end;
}

/** How many of the sorted `ranges` start below `address`. */
function countBelow(ranges: readonly Range[], address: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle]!.start < address) low = middle + 1;
    else high = middle;
  }
  return low;
}
