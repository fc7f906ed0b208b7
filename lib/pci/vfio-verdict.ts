import type { Bdf } from "./bdf.js";
import type { PciFunction } from "./function.js";
import { forwards, forwardWords } from "./host-bridges.js";
import { routeWords, type Route } from "./route.js";
import type { PciTree } from "./tree.js";
import type { MapType, VfioVerdict } from "./verdict.js";

/**
 * What holds where VFIO owns both, in one address space, whose IOVA of the memory is its bus address:
 * what stays below a bridge needs no translation, and what climbs gets it. The kernel checks nothing
 * here.
 */
export class PeerVfioVerdict implements VfioVerdict {
  readonly mapType: MapType;
  readonly needsProof: boolean;
  readonly #tree: PciTree;
  readonly #provider: PciFunction;
  readonly #client: PciFunction;

  constructor(
    tree: PciTree,
    provider: PciFunction,
    client: PciFunction,
    route: Route,
    completionRoute: Route,
  ) {
    this.#tree = tree;
    this.#provider = provider;
    this.#client = client;
    this.mapType = !canOwn(tree, provider) || !canOwn(tree, client)
      ? "NOT_SUPPORTED"
      : route === "root" || completionRoute === "root"
        ? "THROUGH_HOST_BRIDGE"
        : route === "unknown" || completionRoute === "unknown"
          ? "UNKNOWN"
          : "BUS_ADDR";
    this.needsProof =
      this.mapType === "THROUGH_HOST_BRIDGE" && forwards(tree, provider, client) !== true;
  }

  get reason(): string {
    const [provider, client] = [this.#provider, this.#client];
    const refused = [client, provider].find((fn) => !canOwn(this.#tree, fn));
    if (refused) return refusalWords(this.#tree, refused);
    const route = routeWords(client, provider);
    if (this.mapType !== "THROUGH_HOST_BRIDGE") return route;
    const forwarded = `${route}; ${forwardWords(this.#tree, provider, client)}`;
    return this.needsProof
      ? `${forwarded}; VFIO does not check that: p2pmem probe shows it`
      : forwarded;
  }
}

/** Whether its group can be VFIO's, and its requests be told from others'. */
function canOwn(tree: PciTree, fn: PciFunction): boolean {
  return fn.iommuGroup !== null && tree.hostBridgeOf(fn).within === null;
}

function refusalWords(tree: PciTree, fn: PciFunction): string {
  const { address, iommuGroup } = fn;
  if (iommuGroup === null)
    return `${address} has no IOMMU group: turn the IOMMU on (firmware, and intel_iommu=on or amd_iommu=on)`;
  const vmd = tree.hostBridgeOf(fn).within as Bdf;
  return `${address} is behind Intel VMD ${vmd}, whose requester ID all requests carry: turn VMD off in the firmware`;
}
