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

/** Of a pair that VFIO owns; `needsProof`: nobody vouches for the way, be it
 * through the root complex, inside a device, or by registers that could not be read. */
export interface VfioVerdict extends Verdict {
  readonly needsProof: boolean;
}
