// A provider's pool: one alloc() and one free(), with many allocations live.
import { Pool } from "../../dist/p2pmem/pool.js";
import { churn } from "./churn.mjs";

function timed(pool, live, which, sizes) {
  for (let i = 0; i < which.length; i++) {
    const at = which[i];
    pool.free(live[at]);
    live[at] = pool.alloc(sizes[i]);
  }
}

export const title = "pool: alloc() and free()";

export function run() {
  return churn((bytes) => new Pool(bytes), timed);
}
