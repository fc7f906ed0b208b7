// Mapping a list of many segments for a device, and unmapping it: nanoseconds for each segment.
import { addon } from "../../dist/addon.js";
import { LiveMappings } from "../../dist/dma/live-mappings.js";
import { ScatterList } from "../../dist/sgl/scatterlist.js";

const PAGE = 4096;
const SEGMENTS = 1024;
const TARGET_NS = 20;
const CLIENT = "0000:03:00.0";
const MAPS = 5000;
const WARM_UP_ROUNDS = 2;
const MEDIAN_OF = 9;

/** As much of an address space as a list looks at. */
const space = { hasDevice: (address) => address === CLIENT, mappings: new LiveMappings() };

/** As much of a DmaBuffer. */
class Buffer {
  addressSpace = space;
  #isOpen = true;

  constructor(iova, size) {
    this.iova = iova;
    this.size = size;
  }

  assertUsable() {
    if (!this.#isOpen) throw new Error("gone");
  }
}

/**
 * Nanoseconds of this thread, as other programs would come into the clock's; the kernel counts them
 * by its tick, which is why a round takes tens of milliseconds.
 */
function threadTime() {
  const { user, system } = addon().threadCpuTime();
  return user + system;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

/** `place(i)`: the offset of segment i in one buffer, or null: a buffer of its own. */
function listOf(place) {
  const one = new Buffer(2 ** 40, 4 * SEGMENTS * PAGE);
  const list = new ScatterList(space);
  for (let i = 0; i < SEGMENTS; i++) {
    const offset = place(i);
    if (offset === null) list.addHost(new Buffer(2 ** 41 + 2 * i * PAGE, PAGE), 0, PAGE);
    else list.addHost(one, offset, PAGE);
  }
  return list;
}

/** `count`: segments that must come out. */
function measure(list, limits, count) {
  const elapsed = [];
  for (let round = 0; round < WARM_UP_ROUNDS + MEDIAN_OF; round++) {
    let mapped = 0;
    const start = threadTime();
    for (let i = 0; i < MAPS; i++) {
      const vector = list.map(CLIENT, limits);
      mapped += vector.count;
      vector.unmap();
    }
    const spent = threadTime() - start;
    if (mapped !== MAPS * count) throw new Error(`${mapped / MAPS} segments, not ${count}`);
    if (round >= WARM_UP_ROUNDS) elapsed.push(spent);
  }
  return { ns: Number((median(elapsed) / MAPS / SEGMENTS).toFixed(1)), target: TARGET_NS };
}

export const title = `list.map() and unmap() of ${SEGMENTS} segments, for each`;

export function run() {
  const apart = listOf((i) => 2 * i * PAGE);
  const adjacent = listOf((i) => i * PAGE);
  const buffers = listOf(() => null);
  return {
    apart: measure(apart, {}, SEGMENTS),
    adjacent: measure(adjacent, {}, 1),
    cut_in_two: measure(apart, { maxSegment: PAGE / 2 }, 2 * SEGMENTS),
    at_boundaries: measure(adjacent, { boundary: 16 * PAGE }, SEGMENTS / 16),
    buffers: measure(buffers, {}, SEGMENTS),
  };
}
