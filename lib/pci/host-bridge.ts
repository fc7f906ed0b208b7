import type { Bdf } from "./bdf.js";
import type { PciFunction } from "./function.js";

/**
 * A host bridge: the root of a hierarchy, which hands requests between its root ports, or to another
 * host bridge, or does not. Intel VMD has one of its own, with a PCI domain behind a function.
 */
export class HostBridge {
  /** `pci0000:00`: domain and root bus. */
  readonly name: string;
  /** The function that it is part of, as with Intel VMD; null: of none. */
  readonly within: Bdf | null;
  /** What is on its root bus, in the order of addresses, as the kernel's list of it has them. */
  readonly functions: readonly PciFunction[];

  constructor(name: string, within: Bdf | null, functions: readonly PciFunction[]) {
    this.name = name;
    this.within = within;
    this.functions = functions;
  }
}
