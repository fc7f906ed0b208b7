import type { NativeMemory } from "../addon.js";
import type { Iova } from "./iova.js";

/** Pinned host memory that devices reach at an IOVA. Made by AddressSpace.allocate(). */
export class DmaBuffer {
  /** For native copies, and to open it in another thread by its id. */
  readonly memory: NativeMemory;
  /** The bytes, for the CPU; detached by close(). */
  readonly buffer: ArrayBuffer;
  /** Bytes. */
  readonly size: number;
  readonly iova: Iova;
  #unmap: (() => void) | null;

  constructor(memory: NativeMemory, iova: Iova, unmap: () => void) {
    this.memory = memory;
    this.buffer = memory.buffer;
    this.size = memory.size;
    this.iova = iova;
    this.#unmap = unmap;
  }

  /**
   * Unmaps it from the IOMMU, then detaches the buffer, then frees the memory: in this order, so
   * that no device reaches memory that is gone. If the unmap fails the memory is kept. Idempotent.
   */
  close(): void {
    this.#unmap?.();
    this.#unmap = null;
    this.memory.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
