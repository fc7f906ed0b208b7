import type { Traffic } from "../copy/traffic.js";
import { completionRoute, route, type Route } from "../pci/route.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { PciTree } from "../pci/tree.js";

/** Bytes that one target's devices wrote into memory, or read from there. */
export interface KernelLeg {
  clients: readonly PciFunction[];
  readBytes: number;
  writtenBytes: number;
}

/**
 * Of ordinary memory each byte that is read or written crosses the root complex and host memory once. Of
 * peer memory no byte meets host memory: the kernel never bounces it, and a canary has shown that it
 * arrives. The root complex is crossed where the route climbs there: requests carry what is read from a
 * medium, completions what is written to it. Null where nobody knows which way.
 */
export function kernelTraffic(
  tree: PciTree,
  provider: Bdf | null,
  legs: readonly KernelLeg[],
): Traffic {
  const all = legs.reduce((sum, { readBytes, writtenBytes }) => sum + readBytes + writtenBytes, 0);
  let root: number | null = provider === null ? all : 0;
  if (provider !== null)
    for (const { clients, readBytes, writtenBytes } of legs) {
      const [client] = clients;
      // Of several controllers nobody knows which one was used.
      if (client === undefined || clients.length > 1) {
        root = null;
        break;
      }
      const target = tree.get(provider);
      root = plus(root, readBytes, route(client, target));
      root = plus(root, writtenBytes, completionRoute(client, target));
    }
  return {
    source: "derived",
    host_memory_bytes: provider === null ? all : 0,
    host_control_bytes: null,
    root_complex_bytes: root,
  };
}

function plus(sum: number | null, bytes: number, way: Route): number | null {
  if (bytes === 0 || sum === null) return sum;
  if (way === "unknown" || way === "unstated") return null;
  return way === "root" ? sum + bytes : sum;
}
