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
import type { Bytes } from "../verify/seal.js";

/** The buffers of one lane. Bytes. */
export interface LaneBuffers {
  count: number;
  /** From one to the next, and what of each an I/O moves. */
  stride: number;
  ioSize: number;
  /** Of which something is written: so many of the first. */
  written: number;
}

/** Makes what is to be written, in the buffer `index` of a lane, which begins at `start` of `memory`. */
export type FillBuffer = (memory: Bytes, start: number, index: number) => void;

/** The memory that the I/Os of a run go to and come from: the host's, or part of a provider. */
export class PerfMemory {
  readonly #session: Session;
  readonly #provider: Provider | null;
  readonly #allocation: Allocation | null;
  readonly #closes: (() => void)[];
  /** Bytes of the provider's part that have been given out. */
  #used = 0;

  /**
   * `size`: bytes of all lanes together, each in whole pages. `closes`: what undoes it is added to it.
   * Errors: NO_ROOM, UNPUBLISHED, REVOKED.
   */
  constructor(
    session: Session,
    provider: Provider | null,
    size: number,
    onRevoke: (error: P2pError) => void,
    closes: (() => void)[],
  ) {
    this.#session = session;
    this.#provider = provider;
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

  /** The run's part of the provider, bytes; null without one. */
  get held(): Range | null {
    if (this.#allocation === null) return null;
    const { offset, length } = this.#allocation;
    return { start: offset, end: offset + length };
  }

  /**
   * Memory for one lane's buffers. Peer memory is filled as well, so that its path must have been proved
   * before: that overwrites it. Errors: NO_MEMORY, MEMLOCK; those of ScatterList.map().
   */
  open(buffers: LaneBuffers, controller: NvmeController, fill: FillBuffer): DmaVector {
    const { addressSpace } = this.#session;
    const list = new ScatterList(addressSpace);
    const size = buffers.count * buffers.stride;
    if (this.#provider === null) {
      const buffer = addressSpace.allocate(size, { huge: true });
      this.#closes.push(() => {
        buffer.close();
      });
      fillHost(buffer.buffer, buffers, fill);
      list.addHost(buffer, 0, size);
    } else {
      const offset = this.#takePeer(this.#provider, buffers, fill);
      list.addPeer(this.#provider, offset, size, this.#allocation!);
    }
    const vector = list.map(controller);
    this.#closes.push(() => {
      vector.unmap();
    });
    return vector;
  }

  /** The same, mapped for nobody: for each I/O it will be. Errors: NO_MEMORY. */
  place(buffers: LaneBuffers, { address }: NvmeController, fill: FillBuffer): RegisteredMemory {
    const provider = this.#provider;
    if (provider !== null) {
      const offset = this.#takePeer(provider, buffers, fill);
      const iova = keepsAddress(provider, address) ? provider.iova + offset : null;
      return { memory: provider.memory, offset, iova };
    }
    const memory = addon().allocatePinned(buffers.count * buffers.stride, true);
    this.#closes.push(() => {
      memory.close();
    });
    fillHost(memory.buffer, buffers, fill);
    return { memory, offset: 0, iova: null };
  }

  /** Bytes from the start of the provider to the first of the buffers. */
  #takePeer(provider: Provider, buffers: LaneBuffers, fill: FillBuffer): number {
    const offset = this.#allocation!.offset + this.#used;
    this.#used += wholePages(buffers.count * buffers.stride);
    fillPeer(provider, offset, buffers, fill);
    return offset;
  }
}

function fillHost(memory: ArrayBuffer, { written, stride }: LaneBuffers, fill: FillBuffer): void {
  const bytes = bytesOf(memory);
  for (let index = 0; index < written; index++) fill(bytes, index * stride, index);
}

/** The same by way of a buffer: a BAR is not for stores of any width. */
function fillPeer(
  { memory }: Provider,
  offset: number,
  { written, stride, ioSize }: LaneBuffers,
  fill: FillBuffer,
): void {
  if (written === 0) return;
  const buffer = addon().allocatePinned(ioSize, false);
  try {
    const bytes = bytesOf(buffer.buffer);
    for (let index = 0; index < written; index++) {
      fill(bytes, 0, index);
      addon().copy(memory, offset + index * stride, buffer, 0, ioSize);
    }
  } finally {
    buffer.close();
  }
}

function bytesOf(memory: ArrayBuffer): Bytes {
  return { bytes: new Uint8Array(memory), words: new Uint32Array(memory) };
}
