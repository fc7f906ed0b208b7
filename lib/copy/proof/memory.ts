import { randomFillSync } from "node:crypto";
import { addon } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { P2pError } from "../errors.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { PAGE } from "../nvme/spec.js";
import type { Allocation, Pool } from "../p2pmem/pool.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
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

  /** `most`: bytes of a piece. Errors: NO_ROOM, NO_MEMORY, MEMLOCK. */
  constructor(
    addressSpace: AddressSpace,
    provider: Provider,
    namespaces: readonly NvmeNamespace[],
    most: number,
  ) {
    this.#addressSpace = addressSpace;
    this.provider = provider;
    const granule = Math.max(PAGE, ...namespaces.map(({ blockSize }) => blockSize));
    const room = provider.pool.largestFree;
    if (room < granule)
      throw new P2pError(
        "NO_ROOM",
        `${provider.name} has ${formatSize(room)} free, and proving a path takes ${formatSize(granule)}`,
        { device: provider.fn.address, hint: "wait for the copies through it, or use another" },
      );
    this.size = Math.max(granule, floorTo(Math.min(most, room / PIECES), granule));
    try {
      this.#allocations = spread(provider.pool, this.size);
      this.places = this.#allocations.map(({ offset }) => offset);
      this.reference = this.allocate(this.size);
      this.poison = this.allocate(this.size);
      this.seen = this.allocate(this.size);
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

  /** No DMA may be in flight. Idempotent. */
  close(): void {
    for (const vector of this.#vectors.splice(0)) vector.unmap();
    for (const buffer of this.#buffers.splice(0)) buffer.close();
    for (const allocation of this.#allocations.splice(0)) this.provider.pool.free(allocation);
  }

  #map(list: ScatterList, client: Bdf): DmaVector {
    const vector = list.map(client);
    this.#vectors.push(vector);
    return vector;
  }
}

/** At the start, in the middle and at the end: a window may be cut off anywhere. */
const PIECES = 3;

/**
 * Pieces as far apart as the free room allows; one alone where it is too little for three. The room
 * between them is taken only to get there, and nobody else runs meanwhile.
 */
function spread(pool: Pool, size: number): Allocation[] {
  if (pool.largestFree < PIECES * size) return [pool.alloc(size)];
  const first = pool.alloc(size);
  const between = pool.alloc(pool.largestFree - size);
  const last = pool.alloc(size);
  pool.free(between);
  const half = floorTo((between.length - size) / 2, PAGE);
  const before = half > 0 ? pool.alloc(half) : null;
  const middle = pool.alloc(size);
  if (before) pool.free(before);
  return [first, middle, last];
}

function floorTo(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}
