import type { Bdf } from "./bdf.js";
import type { PciFunction } from "./function.js";
import type { HostBridge } from "./host-bridge.js";
import type { RootComplexWay } from "./host-bridges.js";
import { routeWords, type Route } from "./route.js";
import type { MapType, VfioVerdict } from "./verdict.js";

/**
 * What holds where VFIO owns both, in one address space, whose IOVA of the memory is its bus address:
 * what stays below a bridge needs no translation, and what climbs gets it. The kernel checks nothing
 * here.
 */
export class PeerVfioVerdict implements VfioVerdict {
  readonly mapType: MapType;
  readonly needsProof: boolean;
  readonly #provider: PciFunction;
  readonly #client: PciFunction;
  readonly #root: RootComplexWay;

  /** `root`: from the provider to the client. */
  constructor(
    provider: PciFunction,
    client: PciFunction,
    route: Route,
    completionRoute: Route,
    root: RootComplexWay,
  ) {
    this.#provider = provider;
    this.#client = client;
    this.#root = root;
    const ways = [route, completionRoute];
    if (!canOwn(provider, root.first) || !canOwn(client, root.second) || ways.includes("blocked"))
      this.mapType = "NOT_SUPPORTED";
    else if (ways.includes("root")) this.mapType = "THROUGH_HOST_BRIDGE";
    else if (ways.includes("unknown")) this.mapType = "UNKNOWN";
    else this.mapType = "BUS_ADDR";
    this.needsProof =
      this.mapType === "UNKNOWN" ||
      (this.mapType === "THROUGH_HOST_BRIDGE" && root.forwards !== true) ||
      (this.mapType !== "NOT_SUPPORTED" && ways.includes("unstated"));
  }

  get reason(): string {
    const { first, second, reason } = this.#root;
    if (!canOwn(this.#client, second)) return refusalWords(this.#client, second);
    if (!canOwn(this.#provider, first)) return refusalWords(this.#provider, first);
    const route = routeWords(this.#client, this.#provider);
    const through = this.mapType === "THROUGH_HOST_BRIDGE" ? [route, reason] : [route];
    const proof = this.needsProof ? ["VFIO does not check that: p2pmem probe shows it"] : [];
    return [...through, ...proof].join("; ");
  }
}

/** Whether its group can be VFIO's, and its requests be told from others'. */
function canOwn({ iommuGroup }: PciFunction, { within }: HostBridge): boolean {
  return iommuGroup !== null && within === null;
}

function refusalWords({ address, iommuGroup }: PciFunction, { within }: HostBridge): string {
  return iommuGroup === null
    ? `${address} has no IOMMU group: turn the IOMMU on (firmware, and intel_iommu=on or amd_iommu=on)`
    : `${address} is behind Intel VMD ${within as Bdf}, whose requester ID all requests carry: turn VMD off in the firmware`;
}
