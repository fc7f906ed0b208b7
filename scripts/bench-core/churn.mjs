// What the allocators have in common: many live allocations of mixed sizes in random order, the free
// space in pieces from random frees before, and then pairs of one free and one allocation.
import { readFileSync } from "node:fs";

const PAGE = 4096;
const MOST_PAGES = 256; // 1 MiB
const LIVE = [1_000, 10_000, 100_000, 1_000_000];
const TARGET_LIVE = 100_000;
const TARGET_NS = 500;
const PAIRS = 200_000;
const WARM_UP_ROUNDS = 2;
const MEDIAN_OF = 9;

/** The same sequence in each run, so that runs can be compared (Numerical Recipes' generator). */
function randomSource() {
  let state = 1;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function shuffle(items, random) {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [items[i], items[j]] = [items[j], items[i]];
  }
}

/**
 * Nanoseconds that this thread has had a CPU: a round takes so long that other programs would come
 * into it by the clock. The pauses for the garbage collector count. As of the last tick of the
 * scheduler (linux/Documentation/scheduler/sched-stats.rst), a few hundredths of a round.
 */
function threadTime() {
  return Number(readFileSync("/proc/thread-self/schedstat", "latin1").split(" ")[0]);
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/**
 * Nanoseconds for a pair, by the number of live allocations, and as a ratio to the least number.
 *
 * `open(bytes)`: an allocator with at least so many bytes, with alloc(bytes) and free(allocation).
 * `timed(allocator, live, which, sizes)`: for each of `which` frees live[which] and allocates anew; a
 * loop of the section's own, so that V8 compiles it for one kind of allocator.
 */
export function churn(open, timed) {
  const figures = {};
  let first;
  for (const count of LIVE) {
    const ns = measure(open, timed, count);
    first ??= ns;
    figures[`live_${count}`] = {
      ns: Number(ns.toFixed(1)),
      ...(count === TARGET_LIVE ? { target: TARGET_NS } : {}),
      ratio: Number((ns / first).toFixed(2)),
    };
  }
  return figures;
}

function measure(open, timed, count) {
  const random = randomSource();
  const randomSize = () => PAGE * (1 + random(MOST_PAGES));
  const sizes = Float64Array.from({ length: 2 * count }, randomSize);
  const allocator = open(sizes.reduce((sum, size) => sum + size, 0));
  const live = Array.from(sizes, (size) => allocator.alloc(size));
  shuffle(live, random);
  for (const allocation of live.splice(count)) allocator.free(allocation);

  const which = new Int32Array(PAIRS);
  const next = new Float64Array(PAIRS);
  const elapsed = [];
  for (let round = 0; round < WARM_UP_ROUNDS + MEDIAN_OF; round++) {
    for (let i = 0; i < PAIRS; i++) {
      which[i] = random(count);
      next[i] = randomSize();
    }
    const start = threadTime();
    timed(allocator, live, which, next);
    if (round >= WARM_UP_ROUNDS) elapsed.push(threadTime() - start);
  }
  return median(elapsed) / PAIRS;
}
