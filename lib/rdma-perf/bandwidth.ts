/** Up to so many iterations peaks are looked for, as perftest does. */
export const MOST_FOR_PEAK = 20_000;

/**
 * The shortest time that a message took, in the best stretch of the test: perftest's peak is the size
 * over that. Of all stretches from one posting to a later completion it is the one with the least time for
 * each of its messages. `posted[i]` is when message i was posted, `completed[i]` when it was seen that it
 * and all before it had completed; NaN where no such time was taken. Null where there is no stretch.
 *
 * The least of a ratio, after Dinkelbach: what is less than a guess is a better one, which a pass finds
 * or rules out. A handful of passes do, where perftest compares all with all.
 */
export function shortestInterval(posted: Float64Array, completed: Float64Array): number | null {
  let guess = Infinity;
  for (;;) {
    const better = improve(posted, completed, guess);
    if (better === null || better >= guess) return guess === Infinity ? null : guess;
    guess = better;
  }
}

/** The interval of the stretch that is furthest below the guess; of any at first. Null: of none. */
function improve(posted: Float64Array, completed: Float64Array, guess: number): number | null {
  const slope = guess === Infinity ? 0 : guess;
  let begin = -1;
  let latest = -Infinity;
  let least = Infinity;
  let found: number | null = null;
  for (let i = 0; i < completed.length; i++) {
    const begun = posted[i]! - slope * i;
    if (begun > latest) {
      latest = begun;
      begin = i;
    }
    const margin = completed[i]! - slope * (i + 1) - latest;
    // Nor is it less where no time was taken.
    if (!(margin < least) || begin < 0) continue;
    least = margin;
    found = (completed[i]! - posted[begin]!) / (i + 1 - begin);
  }
  return found;
}
