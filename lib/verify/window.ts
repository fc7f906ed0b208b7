import type { NativeMemory } from "../addon.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import type { Bytes } from "./seal.js";

/** Bytes that are read or written at once, about; a multiple of all common block sizes. */
const WINDOW_BYTES = 4 * 2 ** 20;

/** The same in whole blocks, one at least. */
export function windowBytesFor(bs: number): number {
  return Math.max(1, Math.floor(WINDOW_BYTES / bs)) * bs;
}

/**
 * A piece of a range of blocks in host memory, at one place after another. `at`: bytes from the start of the
 * range, on a border of blocks, as `size` is.
 */
export interface BlockWindow extends Bytes {
  readonly memory: NativeMemory;
  read(at: number, size: number): Promise<void>;
  write(at: number, size: number): Promise<void>;
}

/** Of a namespace's range. */
export class Window implements BlockWindow {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly #buffer: DmaBuffer;
  readonly #session: Session;
  readonly #namespace: NvmeNamespace;
  readonly #offset: number;

  /** `offset`: bytes from the start of the namespace to that of the range. Errors: NO_MEMORY, MEMLOCK. */
  constructor(session: Session, namespace: NvmeNamespace, offset: number, size: number) {
    this.#session = session;
    this.#namespace = namespace;
    this.#offset = offset;
    this.#buffer = session.addressSpace.allocate(size, { huge: true });
    this.bytes = new Uint8Array(this.#buffer.buffer);
    this.words = new Uint32Array(this.#buffer.buffer);
  }

  get memory(): NativeMemory {
    return this.#buffer.memory;
  }

  read(at: number, size: number): Promise<void> {
    return this.#withVector(size, (vector) =>
      this.#namespace.read(this.#lba(at), vector.byteLength / this.#namespace.blockSize, vector),
    );
  }

  write(at: number, size: number): Promise<void> {
    return this.#withVector(size, (vector) =>
      this.#namespace.write(this.#lba(at), vector.byteLength / this.#namespace.blockSize, vector),
    );
  }

  [Symbol.dispose](): void {
    this.#buffer.close();
  }

  #lba(at: number): number {
    return (this.#offset + at) / this.#namespace.blockSize;
  }

  async #withVector(size: number, transfer: (vector: DmaVector) => Promise<void>): Promise<void> {
    const list = new ScatterList(this.#session.addressSpace).addHost(this.#buffer, 0, size);
    const vector = list.map(this.#namespace.controller);
    try {
      await transfer(vector);
    } finally {
      vector.unmap();
    }
  }
}
