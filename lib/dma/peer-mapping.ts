import type { Iova } from "./iova.js";

/** A peer's BAR range in an address space. Made by AddressSpace.mapPeer(). */
export class PeerMapping {
  readonly iova: Iova;
  /** Bytes. */
  readonly size: number;
  /**
   * True where the IOVA equals the bus address. If not, a switch cannot route the request to the
   * peer by itself, and everything goes by way of the root complex.
   */
  readonly isIdentity: boolean;
  #unmap: (() => void) | null;

  constructor(iova: Iova, size: number, isIdentity: boolean, unmap: () => void) {
    this.iova = iova;
    this.size = size;
    this.isIdentity = isIdentity;
    this.#unmap = unmap;
  }

  /** Idempotent. */
  close(): void {
    this.#unmap?.();
    this.#unmap = null;
  }
}
