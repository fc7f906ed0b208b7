import type { RawPciFunction } from "../addon.js";
import { P2pError } from "../errors.js";
import { parseBdf, type Bdf } from "./bdf.js";
import { PciFunction, type AddressRange } from "./function.js";

/** All PCI functions of a machine, linked to the bridges above them. */
export class PciTree {
  /** In the order of their addresses. */
  readonly functions: readonly PciFunction[];
  readonly #byAddress = new Map<Bdf, PciFunction>();

  constructor(raw: readonly RawPciFunction[]) {
    const waiting = new Map(raw.map((entry) => [parseBdf(entry.address), entry]));
    const add = (address: Bdf): PciFunction | null => {
      const known = this.#byAddress.get(address);
      const entry = waiting.get(address);
      if (known || !entry) return known ?? null;
      const made = new PciFunction(entry, entry.parent ? add(parseBdf(entry.parent)) : null);
      this.#byAddress.set(address, made);
      return made;
    };
    for (const address of waiting.keys()) add(address);
    this.functions = [...this.#byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
  }

  /** Errors: UNKNOWN_DEVICE. */
  get(address: Bdf): PciFunction {
    const found = this.#byAddress.get(address);
    if (!found)
      throw new P2pError("UNKNOWN_DEVICE", `there is no PCI device ${address}`, {
        device: address,
        hint: "p2pmem list shows the devices",
      });
    return found;
  }

  has(address: Bdf): boolean {
    return this.#byAddress.has(address);
  }

  /** Every bus address that some bridge or BAR answers to: no place for an IOVA. */
  busRanges(): AddressRange[] {
    return this.functions.flatMap((fn) => [
      ...fn.windows,
      ...fn.bars.flatMap((bar) => (bar ? [{ start: bar.address, size: bar.size }] : [])),
    ]);
  }
}
