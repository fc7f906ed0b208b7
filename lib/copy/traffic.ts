import {
  derivedTraffic,
  flowInto,
  flowOutOf,
  flowOverHost,
  type Flow,
  type PeerTarget,
  type Traffic,
} from "../io/traffic.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciTree } from "../pci/tree.js";
import type { CopyPath } from "./plan.js";

/** The devices of a run: who moves data, and through whose memory. */
export interface Legs {
  path: CopyPath;
  source: Bdf;
  destination: Bdf;
  provider: PeerTarget | null;
}

/**
 * Each byte is written once into the buffer and read once out of it. On the way over the host both
 * cross the root complex and host memory. Inside a controller nothing crosses anything.
 */
export function deriveTraffic(tree: PciTree, legs: Legs, bytes: number): Traffic {
  return derivedTraffic(tree, flowsOf(tree, legs, bytes));
}

/** By the CPU only the destination's reads are between devices. */
function flowsOf(
  tree: PciTree,
  { path, source, destination, provider }: Legs,
  bytes: number,
): Flow[] {
  if (path === "nvme-copy") return [];
  const fromSource = flowOverHost(tree, source, bytes);
  if (provider === null || path === "host")
    return [fromSource, flowOverHost(tree, destination, bytes)];
  const read = flowOutOf(tree, destination, provider, bytes);
  return path === "cpu"
    ? [fromSource, flowOverHost(tree, provider.device, bytes), read]
    : [flowInto(tree, source, provider, bytes), read];
}
