// IOVA space of 48 bits with bridge windows in it: one allocate() and one release(), with many
// ranges live.
import { IovaAllocator } from "../../dist/dma/iova-allocator.js";
import { churn } from "./churn.mjs";

const PAGE = 4096;
const USABLE = [
  { first: 0, last: 0xfedfffff },
  { first: 0xfef00000, last: 2 ** 48 - 1 },
];
const WINDOWS = [
  ...[0x80000000, 0xc0000000, 0xf0000000].map((start) => ({ start, size: 2 ** 27 })),
  ...[2 ** 38, 2 ** 39].map((start) => ({ start, size: 2 ** 36 })),
];

function open() {
  const iovas = new IovaAllocator(USABLE, WINDOWS);
  return {
    iovas,
    alloc: (size) => iovas.allocate(size, PAGE),
    free: (range) => iovas.release(range),
  };
}

function timed({ iovas }, live, which, sizes) {
  for (let i = 0; i < which.length; i++) {
    const at = which[i];
    iovas.release(live[at]);
    live[at] = iovas.allocate(sizes[i], PAGE);
  }
}

export const title = "IOVA space: allocate() and release()";

export function run() {
  return churn(open, timed);
}
