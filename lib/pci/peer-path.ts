import { commonBridge } from "./distance.js";
import type { IommuMode, PciFunction } from "./function.js";
import { route, type Route } from "./route.js";
import type { PciTree } from "./tree.js";

/**
 * How a client reaches a provider's memory (linux/drivers/pci/p2pdma.c, enum pci_p2pdma_map_type):
 * by the memory's bus address, through the host bridge, or not at all. `UNKNOWN` where registers
 * that decide it could not be read.
 */
export type MapType = "BUS_ADDR" | "THROUGH_HOST_BRIDGE" | "NOT_SUPPORTED" | "UNKNOWN";

/** What is said of a pair, and why: one line, which names the port and the bit, or the bridge. */
export interface Verdict {
  readonly mapType: MapType;
  readonly reason: string;
}

/** The slowest link between two functions, named by its lower end. */
export interface Bottleneck {
  readonly link: PciFunction;
  /** Bytes a second in one direction, by speed, width and encoding. */
  readonly bandwidth: number;
}

/** All that can be said of a provider and one client. Words are made when they are asked for. */
export interface PeerPath {
  readonly provider: PciFunction;
  readonly client: PciFunction;
  /** Hops, as p2pdma counts them. */
  readonly distance: number;
  /** Of the client's requests to the provider at its bus address. */
  readonly route: Route;
  /** Of the completions of its reads. */
  readonly completionRoute: Route;
  readonly routeReason: string;
  /** Whether an IOMMU translates the client's requests that reach the root complex. */
  readonly iommu: IommuMode;
  /** Where kernel drivers own both. */
  readonly kernel: Verdict;
  /** Where VFIO owns both, in one address space; `needsProof`: nobody vouches for the root complex. */
  readonly vfio: Verdict & { readonly needsProof: boolean };
  /** Null where a link on the way is not known. */
  readonly bottleneck: Bottleneck | null;
}

export function peerPath(tree: PciTree, provider: PciFunction, client: PciFunction): PeerPath {
  const { hopsA, hopsB } = commonBridge(provider, client);
  const way = route(client, provider);
  const mapType: MapType =
    way === "unknown" ? "UNKNOWN" : way === "root" ? "THROUGH_HOST_BRIDGE" : "BUS_ADDR";
  const verdict = { mapType, reason: `the route is ${way} in ${tree.hostBridgeOf(client).name}` };
  return {
    provider,
    client,
    distance: hopsA + hopsB,
    route: way,
    completionRoute: way,
    routeReason: verdict.reason,
    iommu: client.iommu,
    kernel: verdict,
    vfio: { ...verdict, needsProof: way === "root" },
    bottleneck: null,
  };
}
