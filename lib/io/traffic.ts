import type { NativeTraffic } from "../addon.js";
import type { Bdf } from "../pci/bdf.js";
import { meeting } from "../pci/distance.js";
import type { PciFunction } from "../pci/function.js";
import { linksUp } from "../pci/link.js";
import { completionRoute, route, type Route } from "../pci/route.js";
import type { PciTree } from "../pci/tree.js";
import type { Platform } from "../platform.js";

/** Where a run's bytes went. Payload, but for the control bytes; unknown is null, never 0. */
export interface Traffic {
  /** `counted` by the loopback machine's fabric, or `derived` from the path and the route. */
  source: "counted" | "derived";
  host_memory_bytes: number | null;
  /** Queue entries, completions and PRP lists in host memory. */
  host_control_bytes: number | null;
  root_complex_bytes: number | null;
  /** Over each link on the way, both directions together. */
  links: LinkBytes[] | null;
}

export interface LinkBytes {
  /** Address of the function at the link's lower end. */
  link: string;
  bytes: number;
}

/** The meters that run, by machine: its counters are one for all that happens on it. */
const running = new WeakMap<Platform, Set<TrafficMeter>>();

/** What a machine's fabric counts from start() until stop(). */
export class TrafficMeter {
  readonly #platform: Platform;
  #start: NativeTraffic | null = null;
  #end: NativeTraffic | null = null;
  /** Another run shared the counters, so that they cannot tell what was whose. */
  #isShared = false;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  start(): void {
    const others = running.get(this.#platform) ?? new Set();
    running.set(this.#platform, others);
    others.add(this);
    if (others.size > 1) for (const meter of others) meter.#isShared = true;
    this.#start = this.#platform.traffic();
  }

  stop(): void {
    this.#end = this.#platform.traffic();
    running.get(this.#platform)?.delete(this);
  }

  /** Null where nothing counts; numbers are null where they are not only this run's. */
  get counted(): Traffic | null {
    const [start, end] = [this.#start, this.#end];
    if (start === null || end === null) return null;
    const since = (bytes: (traffic: NativeTraffic) => number): number | null =>
      this.#isShared ? null : bytes(end) - bytes(start);
    return {
      source: "counted",
      host_memory_bytes: since(({ hostMemoryBytes }) => hostMemoryBytes),
      host_control_bytes: since(({ hostControlBytes }) => hostControlBytes),
      root_complex_bytes: since(({ rootComplexBytes }) => rootComplexBytes),
      links: this.#isShared ? null : linkBytes(start, end),
    };
  }

  /** CPU time of the machine's devices meanwhile; null as above, and of real ones. */
  get deviceCpuNs(): number | null {
    const [start, end] = [this.#start, this.#end];
    return start === null || end === null || this.#isShared
      ? null
      : end.deviceCpuNs - start.deviceCpuNs;
  }
}

/** Of those that something crossed between the two; the machine's links are always the same ones. */
function linkBytes(start: NativeTraffic, end: NativeTraffic): LinkBytes[] {
  const sum = ({ links }: NativeTraffic, index: number): number => {
    const { upBytes, downBytes } = links[index]!;
    return upBytes + downBytes;
  };
  return end.links
    .map(({ address }, index) => ({ link: address, bytes: sum(end, index) - sum(start, index) }))
    .filter(({ bytes }) => bytes > 0);
}

/** A provider, as far as routes go. `isIdentityMapped`: see PeerMapping. */
export interface PeerTarget {
  device: Bdf;
  isIdentityMapped: boolean;
}

/** Data on their way between a device and another, or host memory (null), in either direction. */
export interface Flow {
  device: PciFunction;
  target: PciFunction | null;
  way: Route;
  bytes: number;
}

/** Between `client` and host memory, in either direction. */
export function flowOverHost(tree: PciTree, client: Bdf, bytes: number): Flow {
  return { device: tree.get(client), target: null, way: "root", bytes };
}

/** The data of `client` into the peer memory: it sends them in requests. */
export function flowInto(tree: PciTree, client: Bdf, peer: PeerTarget, bytes: number): Flow {
  const [device, target] = [tree.get(client), tree.get(peer.device)];
  const way = route(device, target);
  // At another address than its own no switch hands it over.
  const reaches = way === "internal" || peer.isIdentityMapped;
  return { device, target, way: reaches ? way : "root", bytes };
}

/** The peer memory's data to `client`: in completions, which go by the reader's ID. */
export function flowOutOf(tree: PciTree, client: Bdf, peer: PeerTarget, bytes: number): Flow {
  const [device, target] = [tree.get(client), tree.get(peer.device)];
  return { device, target, way: completionRoute(device, target), bytes };
}

/**
 * To and from host memory all bytes cross the root complex; between peers those that climb there, and
 * then once, up and down again being one passage.
 */
export function derivedTraffic(tree: PciTree, flows: readonly Flow[]): Traffic {
  let host = 0;
  let root: number | null = 0;
  let links: Map<Bdf, number> | null = new Map();
  for (const flow of flows.filter(({ bytes }) => bytes > 0)) {
    const { target, way, bytes } = flow;
    if (target === null) host += bytes;
    if (way === "unknown" || way === "unstated") root = null;
    else if (way === "root" && root !== null) root += bytes;
    const crossed = linksOf(tree, flow);
    if (crossed === null) links = null;
    else for (const { address } of crossed) links?.set(address, (links.get(address) ?? 0) + bytes);
  }
  return {
    source: "derived",
    host_memory_bytes: host,
    // How many entries a controller fetches at once, and which lists again, only it knows.
    host_control_bytes: null,
    root_complex_bytes: root,
    links: links && [...links].map(([link, bytes]) => ({ link, bytes })),
  };
}

/** By their lower ends, each as often as it is crossed; null: not known, or dropped on the way. */
function linksOf(tree: PciTree, { device, target, way }: Flow): PciFunction[] | null {
  if (way === "internal") return [];
  if (way !== "direct" && way !== "root") return null;
  const end = way === "direct" && target !== null ? meeting(device, target).common : null;
  const up = linksUp(tree, device, end);
  const down = target === null ? [] : linksUp(tree, target, end);
  return up && down && [...up, ...down];
}
