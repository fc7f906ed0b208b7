import { meeting, type Meeting } from "./distance.js";
import type { IommuMode, PciFunction } from "./function.js";
import { RootComplexWay } from "./host-bridges.js";
import { KernelVerdict } from "./kernel-verdict.js";
import { slowestLink, type Bottleneck } from "./link.js";
import { completionRouteAt, requestRouteAt, routeWords, type Route } from "./route.js";
import type { PciTree } from "./tree.js";
import type { Verdict, VfioVerdict } from "./verdict.js";
import { PeerVfioVerdict } from "./vfio-verdict.js";

export type { Bottleneck } from "./link.js";
export type { MapType, Verdict, VfioVerdict } from "./verdict.js";

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
  /** Where VFIO owns both, in one address space. */
  readonly vfio: VfioVerdict;
  /** Null where a link on the way is not known, or where there is none. */
  readonly bottleneck: Bottleneck | null;
}

/** Nothing of it crosses a link, or nobody knows which. */
const WITHOUT_BOTTLENECK: ReadonlySet<Route> = new Set([
  "internal",
  "unstated",
  "blocked",
  "unknown",
]);

/** Both functions must be of this tree. */
export function peerPath(tree: PciTree, provider: PciFunction, client: PciFunction): PeerPath {
  return new TreePeerPath(tree, provider, client);
}

/**
 * Distance of a provider from all its clients as p2pdma gives it (linux/drivers/pci/p2pdma.c,
 * pci_p2pdma_distance_many): the sum, or -1 where there is no client, or one that does not reach it.
 * Null where none is known not to, but one is not known to.
 */
export function kernelDistance(
  tree: PciTree,
  provider: PciFunction,
  clients: readonly PciFunction[],
): number | null {
  const paths = clients.map((client) => peerPath(tree, provider, client));
  const isAny = (mapType: string): boolean =>
    paths.some(({ kernel }) => kernel.mapType === mapType);
  if (paths.length === 0 || isAny("NOT_SUPPORTED")) return -1;
  return isAny("UNKNOWN") ? null : paths.reduce((sum, { distance }) => sum + distance, 0);
}

class TreePeerPath implements PeerPath {
  readonly provider: PciFunction;
  readonly client: PciFunction;
  readonly distance: number;
  readonly route: Route;
  readonly completionRoute: Route;
  readonly kernel: Verdict;
  readonly vfio: VfioVerdict;
  readonly bottleneck: Bottleneck | null;

  constructor(tree: PciTree, provider: PciFunction, client: PciFunction) {
    const met = meeting(client, provider);
    this.provider = provider;
    this.client = client;
    this.distance = met.hopsA + met.hopsB;
    this.route = requestRouteAt(met);
    this.completionRoute = completionRouteAt(met);
    const root = new RootComplexWay(tree, provider, client);
    this.kernel = new KernelVerdict(provider, client, met, root);
    this.vfio = new PeerVfioVerdict(provider, client, this.route, this.completionRoute, root);
    this.bottleneck = this.#findBottleneck(tree, met);
  }

  get iommu(): IommuMode {
    return this.client.iommu;
  }

  get routeReason(): string {
    return routeWords(this.client, this.provider);
  }

  /** Of both ways, of the requests and of the completions: where one climbs, up to the root ports. */
  #findBottleneck(tree: PciTree, { common }: Meeting): Bottleneck | null {
    const ways = [this.route, this.completionRoute];
    if (ways.some((way) => WITHOUT_BOTTLENECK.has(way))) return null;
    const climbs = ways.includes("root");
    return slowestLink(tree, this.client, this.provider, climbs ? null : common);
  }
}
