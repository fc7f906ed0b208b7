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

  /** Errors: BAD_TOPOLOGY, where a function's bridge is missing or below itself. */
  constructor({ functions, cpu }: RawTopology) {
    const raw = new Map(functions.map((entry) => [parseBdf(entry.address), entry]));
    for (const entry of raw.values()) this.#add(entry, raw, new Set());
    this.functions = [...this.#byAddress.values()].sort((a, b) => (a.address < b.address ? -1 : 1));
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
        hint: "p2pmem list shows the devices",
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
    let parent: PciFunction | null = null;
    if (entry.parent !== null) {
      const above = raw.get(parseBdf(entry.parent));
      if (!above)
        throw badTopology(address, `${entry.parent}, the bridge above ${address}, is missing`);
      parent = this.#add(above, raw, below);
    }
    const made = new PciFunction(entry, parent);
    this.#byAddress.set(address, made);
    return made;
  }

  #findHostBridges(raw: readonly RawPciFunction[]): HostBridge[] {
    const within = new Map(raw.map((entry) => [entry.hostBridge, entry.hostBridgeParent]));
    return [...within]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, parent]) => {
        const onRootBus = this.functions.filter((fn) => fn.hostBridge === name && !fn.parent);
        return new HostBridge(name, parent === null ? null : parseBdf(parent), onRootBus);
      });
  }
}

function badTopology(device: Bdf, message: string): P2pError {
  return new P2pError("BAD_TOPOLOGY", message, {
    device,
    hint: "capture the topology again; devices may have come or gone meanwhile",
  });
}
