import type { NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { AddressSpace } from "./address-space.js";
import type { Iova } from "./iova.js";
import { Pins } from "./pins.js";

/** Pinned host memory that devices reach at an IOVA. Made by AddressSpace.allocate(). */
export class DmaBuffer {
  readonly addressSpace: AddressSpace;
  /** For native copies, and to open it in another thread by its id. */
  readonly memory: NativeMemory;
  /** The bytes, for the CPU; detached by close(). */
  readonly buffer: ArrayBuffer;
  /** Bytes. */
  readonly size: number;
  readonly iova: Iova;
  readonly #pins = new Pins();
  #isClosed = false;
  #unmap: (() => void) | null;

  constructor(addressSpace: AddressSpace, memory: NativeMemory, iova: Iova, unmap: () => void) {
    this.addressSpace = addressSpace;
    this.memory = memory;
    this.buffer = memory.buffer;
    this.size = memory.size;
    this.iova = iova;
    this.#unmap = unmap;
  }

  /** Errors: GONE once closed. */
  assertUsable(): void {
    if (this.#isClosed)
      throw new P2pError(
        "GONE",
        `the ${this.size} bytes at IOVA 0x${this.iova.toString(16)} were freed`,
        {
          hint: "close a buffer after its last use",
        },
      );
  }

  /**
   * Unmaps it from the IOMMU, then detaches the buffer, then frees the memory: in this order, so
   * that no device reaches memory that is gone. If the unmap fails the memory is kept. Vectors that
   * still name it do not keep it, as it must be able to go on every way out; drivers refuse them
   * from now on, and only a transfer that is under way puts it off until it has ended. Idempotent.
   */
  close(): void {
    this.#isClosed = true;
    this.#pins.whenFree(() => {
      this.#unmap?.();
      this.#unmap = null;
      this.memory.close();
    });
  }

  /** A transfer to or from it begins. */
  pin(): void {
    this.#pins.pin();
  }

  /** It has ended. Errors: those of unmapping, if the buffer was closed meanwhile. */
  unpin(): void {
    this.#pins.unpin();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
