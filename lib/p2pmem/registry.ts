import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { findProvider, type FindOptions } from "./find.js";
import { overlaps, type ProviderRange } from "./provider-range.js";
import type { Provider } from "./provider.js";

/** The providers of one address space, from when they are mapped until they are unmapped. */
export class ProviderRegistry implements Iterable<Provider> {
  readonly #providers = new Set<Provider>();

  [Symbol.iterator](): IterableIterator<Provider> {
    return this.#providers.values();
  }

  /**
   * To be asked before a range is mapped: two providers over the same bytes would hand them out
   * twice. Errors: IN_USE.
   */
  assertFree(fn: PciFunction, range: ProviderRange): void {
    for (const other of this.#providers)
      if (other.fn === fn && overlaps(other.range, range))
        throw new P2pError(
          "IN_USE",
          `${fn.address}/${range.label} overlaps ${other.name}, which is open already`,
          { device: fn.address, hint: "use that one, or a range beside it" },
        );
  }

  /** Whether another part of the same memory is open. */
  hasOther({ fn, range }: Provider): boolean {
    const parts = [...this.#providers].filter(
      (other) => other.fn === fn && other.range.kind === range.kind,
    );
    return parts.length > 1;
  }

  add(provider: Provider): void {
    this.#providers.add(provider);
  }

  /** It has been unmapped. */
  delete(provider: Provider): void {
    this.#providers.delete(provider);
  }

  /** See findProvider(). Errors: NO_PROVIDER, BAD_ARGUMENT, UNKNOWN_DEVICE. */
  find(clients: readonly Bdf[], size: number, options?: FindOptions): Provider {
    return findProvider(this.#providers, clients, size, options);
  }

  /** A device is lost: revokes what it provided. */
  revokeDevice(device: Bdf, error: P2pError): void {
    for (const provider of this.#providers)
      if (provider.fn.address === device) provider.revokeInBackground(error);
  }
}
