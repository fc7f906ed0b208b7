/**
 * The candidate that `word` most likely was meant to be: the one of the least edit distance, where that
 * is no more than a third of its length, or one; undefined where none is so near. Of equals the first.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Infinity;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance >= least || distance > Math.max(1, Math.floor(candidate.length / 3))) continue;
    [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to add, to leave out or to change (Levenshtein), two that changed places being one change. */
function editDistance(a: string, b: string): number {
  let earlier: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = above[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let cost = Math.min(change, above[column]! + 1, current[column - 1]! + 1);
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (row > 1 && column > 1 && isSwapped) cost = Math.min(cost, earlier[column - 2]! + 1);
      current.push(cost);
    }
    [earlier, above] = [above, current];
  }
  return above[b.length]!;
}
