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

/** The devices of one end, and the memory between them. */
export interface StreamLegs {
  role: "source" | "destination";
  nvme: Bdf;
  /** Null: there is no PCI function, as with soft-RoCE. */
  nic: Bdf | null;
  /** Null: host memory. */
  provider: PeerTarget | null;
}

/**
 * Of one end: each byte goes once into its staging memory and once out of it. Where the NIC is software
 * the CPU copies, and how often nobody knows.
 */
export function streamTraffic(tree: PciTree, legs: StreamLegs, bytes: number): Traffic {
  const { role, nvme, nic, provider } = legs;
  if (nic === null)
    return {
      source: "derived",
      ...{ host_memory_bytes: null, host_control_bytes: null },
      ...{ root_complex_bytes: null, links: null },
    };
  const [into, outOf] = role === "source" ? [nvme, nic] : [nic, nvme];
  const peerOf = (client: Bdf): PeerTarget | null =>
    // The kernel gives its NIC the bus address wherever a switch hands requests over.
    provider && (client === nic ? { ...provider, isIdentityMapped: true } : provider);
  const flow = (of: typeof flowInto, client: Bdf): Flow => {
    const peer = peerOf(client);
    return peer === null ? flowOverHost(tree, client, bytes) : of(tree, client, peer, bytes);
  };
  return derivedTraffic(tree, [flow(flowInto, into), flow(flowOutOf, outOf)]);
}
