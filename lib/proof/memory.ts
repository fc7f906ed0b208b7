import { randomFillSync } from "node:crypto";
import { addon } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { PAGE } from "../nvme/spec.js";
import type { Allocation } from "../p2pmem/pool.js";
import { isPersistent } from "../p2pmem/provider-range.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { tryAll } from "../try-all.js";
import { formatSize } from "../units.js";

/** The pieces of peer memory that a proof sends its canaries through, and what it holds them against. */
export class ProofMemory {
  readonly provider: Provider;
  /** Bytes of each piece: whole pages, and whole blocks of every namespace. */
  readonly size: number;
  /** Bytes from the start of the provider to each piece; multiples of a page. */
  readonly places: readonly number[];
  /** What the medium holds, read by way of host memory. */
  readonly reference: DmaBuffer;
  /** Differs from the reference in every byte: see {@link makePoison}. */
  readonly poison: DmaBuffer;
  /** What was found where a canary should have arrived. */
  readonly seen: DmaBuffer;
  readonly #addressSpace: AddressSpace;
  readonly #allocations: Allocation[] = [];
  readonly #buffers: DmaBuffer[] = [];
  readonly #vectors: DmaVector[] = [];
  /** What the pieces held, in their order, where that is to last: a PMR's. */
  readonly #contents: DmaBuffer[] = [];

  /**
   * `held`: a part of the provider that the caller has, bytes; null to take what is free.
   * `most`: bytes of a piece. Errors: NO_ROOM, NO_MEMORY, MEMLOCK, UNPUBLISHED, REVOKED.
   */
  constructor(
    addressSpace: AddressSpace,
    provider: Provider,
    namespaces: readonly NvmeNamespace[],
    held: Range | null,
    most: number,
  ) {
    this.#addressSpace = addressSpace;
    this.provider = provider;
    const granule = Math.max(PAGE, ...namespaces.map(({ blockSize }) => blockSize));
    const { pool } = provider;
    const pieces = choosePieces(held === null ? pool.freeRanges() : [held], granule, most);
    if (pieces === null)
      throw new P2pError(
        "NO_ROOM",
        `${provider.name} has ${formatSize(pool.largestFree)} free, and proving a path takes ${formatSize(granule)}`,
        { device: provider.fn.address, hint: "wait for the copies through it, or use another" },
      );
    this.size = pieces.size;
    this.places = pieces.places;
    try {
      if (held === null)
        for (const place of this.places) this.#allocations.push(pool.allocAt(place, this.size));
      this.reference = this.allocate(this.size);
      this.poison = this.allocate(this.size);
      this.seen = this.allocate(this.size);
      if (isPersistent(provider.range)) this.#keepContents();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Host memory of its own. Errors: NO_MEMORY, MEMLOCK. */
  allocate(size: number): DmaBuffer {
    const buffer = this.#addressSpace.allocate(size);
    this.#buffers.push(buffer);
    return buffer;
  }

  mapHost(buffer: DmaBuffer, length: number, client: Bdf): DmaVector {
    return this.#map(new ScatterList(this.#addressSpace).addHost(buffer, 0, length), client);
  }

  mapPeer(place: number, length: number, client: Bdf): DmaVector {
    const list = new ScatterList(this.#addressSpace).addPeer(this.provider, place, length);
    return this.#map(list, client);
  }

  /**
   * New poison for these bytes: random, so that it is nothing that was there before, and other than
   * the reference in every byte, so that zeros, ones and a part that arrives cannot pass for it.
   */
  makePoison(at: number, length: number): void {
    const reference = new Uint32Array(this.reference.buffer, at, length / 4);
    const poison = new Uint32Array(this.poison.buffer, at, length / 4);
    randomFillSync(poison);
    for (let i = 0; i < poison.length; i++) poison[i] = reference[i]! ^ (poison[i]! | 0x01010101);
  }

  /**
   * The CPU writes bytes of `from` into the piece at `place`, and reads the last of them back. That
   * pushes them to the device, which its own reads could otherwise reach before them, and shows that
   * the CPU sees the memory at all. Errors: BAD_PEER_MEMORY.
   */
  put(from: DmaBuffer, place: number, at: number, length: number): void {
    const { memory, name, fn } = this.provider;
    addon().copy(memory, place + at, from.memory, at, length);
    const last = at + length - 4;
    const [wanted] = new Uint32Array(from.buffer, last, 1);
    if (addon().read32(memory, place + last) === wanted) return;
    throw new P2pError(
      "BAD_PEER_MEMORY",
      `the CPU does not read back from ${name} what it has written there`,
      { device: fn.address, hint: "the device may be gone or in reset: p2pmem list" },
    );
  }

  /**
   * The CPU reads the piece at `place` into `seen`. The read ahead of it pushes what devices have
   * posted (PCIe base §2.4.1): their completions took another way.
   */
  take(place: number, length: number): void {
    const { memory } = this.provider;
    addon().read32(memory, place);
    addon().copy(this.seen.memory, 0, memory, place, length);
  }

  /** No DMA may be in flight. Idempotent. Errors: NOT_RESTORED, with everything let go. */
  close(): void {
    tryAll([
      ...this.#contents.splice(0).map((saved, index) => () => {
        this.#putBack(saved, this.places[index]!);
      }),
      ...this.#vectors.splice(0).map((vector) => () => {
        vector.unmap();
      }),
      ...this.#buffers.splice(0).map((buffer) => () => {
        buffer.close();
      }),
      ...this.#allocations.splice(0).map((allocation) => () => {
        this.provider.pool.free(allocation);
      }),
    ]);
  }

  #keepContents(): void {
    for (const place of this.places) {
      const saved = this.allocate(this.size);
      addon().copy(saved.memory, 0, this.provider.memory, place, this.size);
      this.#contents.push(saved);
    }
  }

  /** Reading it back also makes it last (NVMe 1.4 §3.1.23, PMRWBM). Errors: NOT_RESTORED. */
  #putBack(saved: DmaBuffer, place: number): void {
    const { memory, name, fn } = this.provider;
    const places = this.places.map((each) => `0x${each.toString(16)}`).join(", ");
    const refuse = (cause?: unknown): P2pError =>
      new P2pError(
        "NOT_RESTORED",
        `${name} does not hold what it held before the proof, in the ${formatSize(this.size)} at some of ${places}`,
        { device: fn.address, hint: "restore what it held there from elsewhere", cause },
      );
    try {
      addon().copy(memory, place, saved.memory, 0, this.size);
      this.take(place, this.size);
    } catch (cause) {
      throw refuse(cause);
    }
    if (addon().compare(this.seen.memory, 0, saved.memory, 0, this.size) >= 0) throw refuse();
  }

  #map(list: ScatterList, client: Bdf): DmaVector {
    const vector = list.map(client);
    this.#vectors.push(vector);
    return vector;
  }
}

/** At the start, in the middle and at the end: a window may be cut off anywhere. */
const PIECES = 3;

/** Places for canaries, bytes from the start of the provider, and the size of each. */
export interface Pieces {
  size: number;
  places: number[];
}

/**
 * The first, the middle and the last piece of what is `free` (sorted; bytes), fewer where it is too
 * little for three; null where not even one has room. `granule`: what a size is a multiple of.
 */
export function choosePieces(free: readonly Range[], granule: number, most: number): Pieces | null {
  const room = Math.max(0, ...free.map(({ start, end }) => end - start));
  if (room < granule) return null;
  const size = Math.max(granule, floorTo(Math.min(most, room / PIECES), granule));
  const fit = free.filter(({ start, end }) => end - start >= size);
  const first = fit[0]!.start;
  const last = fit.at(-1)!.end - size;
  if (last < first + size) return { size, places: [first] };
  const middle = floorTo((first + last) / 2, PAGE);
  const between = fit.flatMap(({ start, end }) => {
    const low = Math.max(start, first + size);
    const high = Math.min(end, last) - size;
    return low > high ? [] : [Math.min(Math.max(middle, low), high)];
  });
  const [closest] = between.sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle));
  return { size, places: closest === undefined ? [first, last] : [first, closest, last] };
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}
