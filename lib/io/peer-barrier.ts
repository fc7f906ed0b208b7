import { addon, type NativeAddon, type NativeMemory } from "../addon.js";

/**
 * A read from peer memory. A completion in host memory says that a device has sent its data, not that
 * the data has reached the peer: the two went different ways, and may wait in a switch. A read from
 * the peer's memory cannot pass posted writes on its way there (PCIe base §2.4.1), so when it has
 * returned they have landed. One read for a batch, since it waits for a round trip. That holds for a
 * PMR whose PMRWBM does not name a read as its barrier, too: the barrier is about what is persistent,
 * and no read passes a write to the same place on its way out of the PMR (NVMe 1.4 §3.1.26, RBB).
 */
export class PeerBarrier {
  readonly #addon: NativeAddon = addon();
  readonly #memory: NativeMemory;
  readonly #offset: number;

  /** `offset`: any that holds data, bytes. Errors: GONE. */
  constructor(memoryId: number, offset: number) {
    this.#memory = this.#addon.openMemory(memoryId);
    this.#offset = offset;
  }

  pass(): void {
    this.#addon.read32(this.#memory, this.#offset);
  }

  close(): void {
    this.#memory.close();
  }
}
