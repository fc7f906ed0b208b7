import { P2pError } from "../errors.js";
import type { CpuIdentity, RawPciFunction, RawTopology } from "../platform.js";
import { parseBdf, type Bdf } from "./bdf.js";
import { PciFunction, type AddressRange } from "./function.js";
import { HostBridge } from "./host-bridge.js";

/** All PCI functions of a machine, linked to the bridges above them. */
export class PciTree {
  readonly cpu: CpuIdentity | null;
  /** In the order of their addresses. */
  readonly functions: readonly PciFunction[];
  /** In the order of their names. */
  readonly hostBridges: readonly HostBridge[];
  readonly #byAddress = new Map<Bdf, PciFunction>();
  readonly #byName: ReadonlyMap<string, HostBridge>;

  /**
   * Errors: BAD_TOPOLOGY, where a function is there twice, is a bridge below itself, or lacks the
   * bridge or the host bridge's function that it hangs from, or the physical function that it is part of.
   */
  constructor({ functions, cpu }: RawTopology) {
    const raw = new Map<Bdf, RawPciFunction>();
    for (const entry of functions) {
      const address = parseBdf(entry.address);
      if (raw.has(address)) throw badTopology(address, `${address} is there twice`);
      raw.set(address, entry);
    }
    for (const entry of raw.values()) this.#add(entry, raw, new Set());
    this.functions = [...this.#byAddress.values()].sort((a, b) => compare(a.address, b.address));
    this.hostBridges = this.#findHostBridges(functions);
    this.#byName = new Map(this.hostBridges.map((bridge) => [bridge.name, bridge]));
    this.cpu = cpu;
  }

  /** Errors: UNKNOWN_DEVICE. */
  get(address: Bdf): PciFunction {
    const found = this.#byAddress.get(address);
    if (!found)
      throw new P2pError("UNKNOWN_DEVICE", `there is no PCI device ${address}`, {
        device: address,
        hint: "p2pmem topology shows the devices",
      });
    return found;
  }

  has(address: Bdf): boolean {
    return this.#byAddress.has(address);
  }

  /** The host bridge that a function of this tree hangs from. */
  hostBridgeOf({ hostBridge }: PciFunction): HostBridge {
    return this.#byName.get(hostBridge) as HostBridge;
  }

  /** Every bus address that some bridge or BAR answers to: no place for an IOVA. */
  busRanges(): AddressRange[] {
    return this.functions.flatMap((fn) => [
      ...fn.windows,
      ...fn.vfBars,
      ...fn.bars.flatMap((bar) => (bar ? [{ start: bar.address, size: bar.size }] : [])),
    ]);
  }

  /** Bridges first; `below`: what has led here, to notice a loop. */
  #add(
    entry: RawPciFunction,
    raw: ReadonlyMap<Bdf, RawPciFunction>,
    below: Set<RawPciFunction>,
  ): PciFunction {
    const address = parseBdf(entry.address);
    const known = this.#byAddress.get(address);
    if (known) return known;
    if (below.has(entry)) throw badTopology(address, `${address} is a bridge below itself`);
    below.add(entry);
    const find = (name: string | null, role: string): RawPciFunction | null => {
      const found = name === null ? null : raw.get(parseBdf(name));
      if (found === undefined)
        throw badTopology(address, `${name}, ${role} ${address}, is missing`);
      return found;
    };
    find(entry.physicalFunction, "the physical function of");
    find(entry.hostBridgeParent, "whose host bridge is above");
    const above = find(entry.parent, "the bridge above");
    const made = new PciFunction(entry, above && this.#add(above, raw, below));
    this.#byAddress.set(address, made);
    return made;
  }

  #findHostBridges(raw: readonly RawPciFunction[]): HostBridge[] {
    const within = new Map(raw.map((entry) => [entry.hostBridge, entry.hostBridgeParent]));
    return [...within]
      .sort(([a], [b]) => compare(a, b))
      .map(([name, parent]) => {
        const onRootBus = this.functions.filter((fn) => fn.hostBridge === name && !fn.parent);
        return new HostBridge(name, parent === null ? null : parseBdf(parent), onRootBus);
      });
  }
}

/** By domain as a number first: a domain has four digits or, behind Intel VMD, five. */
function compare(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

function badTopology(device: Bdf, message: string): P2pError {
  return new P2pError("BAD_TOPOLOGY", message, {
    device,
    hint: "capture the topology again; devices may have come or gone meanwhile",
  });
}
