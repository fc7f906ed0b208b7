import { addon } from "../addon.js";
import type { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import { keepsAddress, type RegisteredMemory } from "../io/registration.js";
import { wholePages } from "../io/room.js";
import type { NvmeController } from "../nvme/controller.js";
import type { Allocation } from "../p2pmem/pool.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { Random } from "./random.js";

/** Bytes that the CPU fills peer memory by at once. */
const FILL_BYTES = 2 ** 20;

/** The memory that the I/Os of a run go to and come from: the host's, or part of a provider. */
export class PerfMemory {
  readonly #session: Session;
  readonly #seed: number | null;
  readonly #provider: Provider | null;
  readonly #allocation: Allocation | null;
  readonly #closes: (() => void)[];
  /** Bytes of the provider's part that have been given out. */
  #used = 0;

  /**
   * `size`: bytes of all lanes together, each in whole pages. `seed`: of what is written, null where
   * nothing is. `closes`: what undoes it is added to it. Errors: NO_ROOM, UNPUBLISHED, REVOKED.
   */
  constructor(
    session: Session,
    provider: Provider | null,
    size: number,
    seed: number | null,
    onRevoke: (error: P2pError) => void,
    closes: (() => void)[],
  ) {
    this.#session = session;
    this.#provider = provider;
    this.#seed = seed;
    this.#closes = closes;
    if (provider === null) {
      this.#allocation = null;
      return;
    }
    const allocation = provider.pool.alloc(size);
    closes.push(() => {
      provider.pool.free(allocation);
    });
    allocation.onRevoke(onRevoke);
    this.#allocation = allocation;
  }

  /** Fills peer memory that is to be written from, once its path has been proved: that overwrites it. */
  fillPeer(): void {
    if (this.#provider === null || this.#allocation === null || this.#seed === null) return;
    fillPeer(this.#provider, this.#allocation, this.#seed);
  }

  /** The run's part of the provider, bytes; null without one. */
  get held(): Range | null {
    if (this.#allocation === null) return null;
    const { offset, length } = this.#allocation;
    return { start: offset, end: offset + length };
  }

  /** Memory for one lane's slots. Errors: NO_MEMORY, MEMLOCK; those of ScatterList.map(). */
  open(size: number, controller: NvmeController): DmaVector {
    const list = this.#allocation === null ? this.#openHost(size) : this.#openPeer(size);
    const vector = list.map(controller);
    this.#closes.push(() => {
      vector.unmap();
    });
    return vector;
  }

  /** The same, mapped for nobody: for each I/O it will be. Errors: NO_MEMORY. */
  place(size: number, { address }: NvmeController): RegisteredMemory {
    const provider = this.#provider;
    if (provider !== null) {
      const offset = this.#takePeer(size);
      const iova = keepsAddress(provider, address) ? provider.iova + offset : null;
      return { memory: provider.memory, offset, iova };
    }
    const memory = addon().allocatePinned(size, true);
    this.#closes.push(() => {
      memory.close();
    });
    this.#fillHost(memory.buffer);
    return { memory, offset: 0, iova: null };
  }

  #openHost(size: number): ScatterList {
    const { addressSpace } = this.#session;
    const buffer = addressSpace.allocate(size, { huge: true });
    this.#closes.push(() => {
      buffer.close();
    });
    this.#fillHost(buffer.buffer);
    return new ScatterList(addressSpace).addHost(buffer, 0, size);
  }

  #fillHost(buffer: ArrayBuffer): void {
    if (this.#seed !== null) fill(new Int32Array(buffer), new Random(this.#seed));
  }

  /** Bytes from the start of the provider to so many of its own. */
  #takePeer(size: number): number {
    const offset = this.#allocation!.offset + this.#used;
    this.#used += wholePages(size);
    return offset;
  }

  #openPeer(size: number): ScatterList {
    const offset = this.#takePeer(size);
    const list = new ScatterList(this.#session.addressSpace);
    return list.addPeer(this.#provider!, offset, size, this.#allocation!);
  }
}

/** What is written should not be easier to store than other data. */
function fill(words: Int32Array, random: Random): void {
  for (let i = 0; i < words.length; i++) words[i] = random.next();
}

/** The same by way of a buffer, before the run: a BAR is not for stores of any width. */
function fillPeer({ memory }: Provider, { offset, length }: Allocation, seed: number): void {
  const buffer = addon().allocatePinned(Math.min(length, FILL_BYTES), false);
  const random = new Random(seed);
  try {
    for (let at = 0; at < length; at += buffer.size) {
      fill(new Int32Array(buffer.buffer), random);
      addon().copy(memory, offset + at, buffer, 0, Math.min(buffer.size, length - at));
    }
  } finally {
    buffer.close();
  }
}
