import type { Bdf } from "../pci/bdf.js";

/** How many lists are mapped for each device at the moment. */
export class LiveMappings {
  readonly #counts = new Map<Bdf, number>();

  add(client: Bdf): void {
    this.#counts.set(client, (this.#counts.get(client) ?? 0) + 1);
  }

  remove(client: Bdf): void {
    const count = this.#counts.get(client) ?? 0;
    if (count > 1) this.#counts.set(client, count - 1);
    else this.#counts.delete(client);
  }

  /** By device; none where all is unmapped. */
  get counts(): ReadonlyMap<Bdf, number> {
    return this.#counts;
  }

  /**
   * One process warning for all that nobody has unmapped, as the kernel's DMA debugging gives one for
   * a device that goes with mappings left (linux/kernel/dma/debug.c, dma_debug_device_change).
   */
  warnOfLeaks(): void {
    if (this.#counts.size === 0) return;
    const leaks = [...this.#counts].map(([client, count]) => `${count} for ${client}`);
    process.emitWarning(`DMA vectors were never unmapped: ${leaks.join(", ")}`, {
      type: "P2pmemWarning",
      code: "P2PMEM_DMA_LEAK",
      detail: "call unmap() once on each vector that ScatterList.map() gives",
    });
  }
}
