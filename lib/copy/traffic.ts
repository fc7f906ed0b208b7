import type { Bdf } from "../pci/bdf.js";
import { route } from "../pci/route.js";
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

/** What the platform counted since its last reset, or what the path and the route imply. */
export function trafficOf(platform: Platform, tree: PciTree, legs: Legs, bytes: number): Traffic {
  const counted = platform.traffic();
  if (counted === null) return deriveTraffic(tree, legs, bytes);
  return {
    source: "counted",
    host_memory_bytes: counted.hostMemoryBytes,
    host_control_bytes: counted.hostControlBytes,
    root_complex_bytes: counted.rootComplexBytes,
  };
}

/**
 * Each byte is written once into the buffer and read once out of it. On the way over the host both
 * cross the root complex and host memory. Between peers a leg crosses the root complex only where
 * its route climbs there, and then once, up and down again being one passage.
 */
export function deriveTraffic(tree: PciTree, legs: Legs, bytes: number): Traffic {
  const { path, source, destination, provider } = legs;
  const host = path === "p2p" ? 0 : 2 * bytes;
  let root: number | null = host;
  if (provider !== null && path !== "host")
    for (const client of path === "p2p" ? [source, destination] : [destination]) {
      const shortest = route(tree.get(client), tree.get(provider.device));
      // At another address than its own no switch can hand it over.
      const way = shortest !== "internal" && !provider.isIdentityMapped ? "root" : shortest;
      if (way === "root" && root !== null) root += bytes;
      if (way === "unknown") root = null;
    }
  return {
    source: "derived",
    host_memory_bytes: host,
    // How many entries a controller fetches at once, and which lists again, only it knows.
    host_control_bytes: null,
    root_complex_bytes: root,
  };
}
