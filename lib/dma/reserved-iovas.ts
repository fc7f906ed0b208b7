import type { Iova } from "./iova.js";

/** IOVAs that are mapped piece by piece, for each I/O. Made by AddressSpace.reserve(). */
export class ReservedIovas {
  /** Of the address space, for other threads. */
  readonly addressSpaceId: number;
  /** Of the first piece. */
  readonly iova: Iova;
  #release: (() => void) | null;

  constructor(addressSpaceId: number, iova: Iova, release: () => void) {
    this.addressSpaceId = addressSpaceId;
    this.iova = iova;
    this.#release = release;
  }

  /** Unmaps what is still mapped there: no DMA may be in flight. Idempotent. */
  close(): void {
    this.#release?.();
    this.#release = null;
  }
}
