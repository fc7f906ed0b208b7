import { derivedTraffic, flowInto, flowOutOf, flowOverHost, type Traffic } from "../io/traffic.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { PciTree } from "../pci/tree.js";

/** Bytes that one target's devices wrote into memory, or read from there. */
export interface KernelLeg {
  clients: readonly PciFunction[];
  /** Not a block device. */
  isFile: boolean;
  readBytes: number;
  writtenBytes: number;
}

/**
 * Of ordinary memory each byte that is read or written crosses the root complex and host memory once. Of
 * peer memory no byte meets host memory: the kernel never bounces it, and a canary has shown that it
 * arrives. The root complex is crossed where the route climbs there: requests carry what is read from a
 * medium, completions what is written to it. Null where nobody knows which way, as of files: a file
 * system may do without O_DIRECT what it cannot do with it, by way of the page cache, and says nothing.
 */
export function kernelTraffic(
  tree: PciTree,
  provider: Bdf | null,
  legs: readonly KernelLeg[],
): Traffic {
  if (legs.some(({ isFile }) => isFile))
    return {
      source: "derived",
      host_memory_bytes: null,
      host_control_bytes: null,
      root_complex_bytes: null,
      links: null,
    };
  // Without a controller, or of several, nobody knows which way.
  if (legs.every(({ clients }) => clients.length === 1)) {
    const flows = legs.flatMap(({ clients, readBytes, writtenBytes }) => {
      const client = clients[0]!.address;
      if (provider === null) return [flowOverHost(tree, client, readBytes + writtenBytes)];
      // The kernel gives the client the memory's bus address.
      const peer = { device: provider, isIdentityMapped: true };
      return [flowInto(tree, client, peer, readBytes), flowOutOf(tree, client, peer, writtenBytes)];
    });
    return derivedTraffic(tree, flows);
  }
  const all = legs.reduce((sum, { readBytes, writtenBytes }) => sum + readBytes + writtenBytes, 0);
  return {
    source: "derived",
    // Into peer memory: what is between here and the disk may well go by way of the host's.
    host_memory_bytes: provider === null ? all : null,
    host_control_bytes: null,
    root_complex_bytes: provider === null ? all : null,
    links: null,
  };
}
