import type { NativeMemory } from "#lib/addon.js";
import type { AddressSpace } from "#lib/dma/address-space.js";
import { toIova } from "#lib/dma/iova.js";
import type { MapType } from "#lib/pci/peer-path.js";
import type { PeerMemory } from "#lib/sgl/memory.js";

/** 16 MiB of a peer's memory, as much of it as a scatterlist looks at. */
export function fakePeer(
  addressSpace: AddressSpace,
  iova: number,
  rest: Partial<PeerMemory> = {},
): PeerMemory {
  return {
    name: "0000:05:00.0/bar2",
    fn: addressSpace.tree.functions[0]!,
    addressSpace,
    iova: toIova(iova),
    size: 2 ** 24,
    memory: {} as NativeMemory,
    rdmaDevice: null,
    exportDmabuf: () => -1,
    assertUsable: () => undefined,
    pin: () => undefined,
    unpin: () => undefined,
    mapTypeFor: (): MapType => "BUS_ADDR",
    onRevoke: () => () => undefined,
    ...rest,
  };
}
