import type { NativeTraffic } from "../addon.js";
import type { Bdf } from "../pci/bdf.js";
import { completionRoute, route, type Route } from "../pci/route.js";
import type { PciTree } from "../pci/tree.js";
import type { Platform } from "../platform.js";
import type { CopyPath } from "./plan.js";

/** Where a run's bytes went. Payload, but for the control bytes; unknown is null, never 0. */
export interface Traffic {
  /** `counted` by the loopback machine's fabric, or `derived` from the path and the route. */
  source: "counted" | "derived";
  host_memory_bytes: number | null;
  /** Queue entries, completions and PRP lists in host memory. */
  host_control_bytes: number | null;
  root_complex_bytes: number | null;
}

/** The devices of a run: who moves data, and through whose memory. */
export interface Legs {
  path: CopyPath;
  source: Bdf;
  destination: Bdf;
  /** `isIdentityMapped`: see PeerMapping. */
  provider: { device: Bdf; isIdentityMapped: boolean } | null;
}

/** The meters that run, by machine: its counters are one for all that happens on it. */
const running = new WeakMap<Platform, Set<TrafficMeter>>();

/** What a machine's fabric counts from here on until stop(). */
export class TrafficMeter {
  readonly #platform: Platform;
  readonly #start: NativeTraffic | null;
  #end: NativeTraffic | null = null;
  /** Another run shared the counters, so that they cannot tell what was whose. */
  #isShared = false;

  constructor(platform: Platform) {
    this.#platform = platform;
    const others = running.get(platform) ?? new Set();
    running.set(platform, others);
    others.add(this);
    if (others.size > 1) for (const meter of others) meter.#isShared = true;
    this.#start = platform.traffic();
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
    };
  }
}

/**
 * Each byte is written once into the buffer and read once out of it. On the way over the host both
 * cross the root complex and host memory. Between peers a leg crosses the root complex only where
 * its data climb there, and then once, up and down again being one passage. Inside a controller
 * nothing crosses anything.
 */
export function deriveTraffic(tree: PciTree, legs: Legs, bytes: number): Traffic {
  const { path } = legs;
  const host = path === "p2p" || path === "nvme-copy" ? 0 : 2 * bytes;
  let root: number | null = host;
  for (const way of dataRoutes(tree, legs)) {
    if (way === "root" && root !== null) root += bytes;
    if (way === "unknown" || way === "unstated") root = null;
  }
  return {
    source: "derived",
    host_memory_bytes: host,
    // How many entries a controller fetches at once, and which lists again, only it knows.
    host_control_bytes: null,
    root_complex_bytes: root,
  };
}

/**
 * Of the data between devices: the source's writes, which are requests, and what the destination's
 * reads bring back, which are completions. By the CPU only the destination's reads are between devices.
 */
function dataRoutes(tree: PciTree, { path, source, destination, provider }: Legs): Route[] {
  if (provider === null || path === "host") return [];
  const target = tree.get(provider.device);
  const read = completionRoute(tree.get(destination), target);
  if (path === "cpu") return [read];
  const written = route(tree.get(source), target);
  // At another address than its own no switch hands it over; completions go by the reader's ID.
  const reaches = written === "internal" || provider.isIdentityMapped;
  return [reaches ? written : "root", read];
}
