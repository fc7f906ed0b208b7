/**
 * The memory on a NIC (libibverbs: device memory, ibv_alloc_dm(3)) as a provider. The NIC registers it
 * without a dma-buf and moves it without a byte on its link; to others it is a peer's, by way of the
 * IOMMU, as nobody but the NIC's driver knows where on the bus it lies.
 */
import { addon } from "./addon.js";
import { P2pError } from "./errors.js";
import { POOL_PAGE } from "./p2pmem/pool.js";
import { wholeRange, type ProviderKind, type ProviderRange } from "./p2pmem/provider-range.js";
import type { ProviderSource } from "./providers.js";
import type { RdmaDevice } from "./rdma/device.js";

/**
 * All of a NIC's memory, whole pages of it, if other devices can be let at it. `wanted`: what was asked for.
 * Errors: NO_PROVIDER with the reason, where it is that.
 */
export function nicRanges(
  { name, attributes }: RdmaDevice,
  wanted: ProviderKind | "all" | null,
): ProviderRange[] {
  const { deviceMemoryBytes, deviceMemoryForPeers } = attributes;
  const size = deviceMemoryBytes - (deviceMemoryBytes % POOL_PAGE);
  if (size === 0) return [];
  if (deviceMemoryForPeers) return [wholeRange("dm", { bar: null, offset: 0, size })];
  if (wanted === "dm")
    throw new P2pError(
      "NO_PROVIDER",
      `the memory of ${name} is out of other devices' reach: libibverbs has no address of it that ` +
        "VFIO could map for them",
      { device: name, hint: "use a controller's CMB, a p2pmem card, or host memory" },
    );
  return [];
}

/** Takes all of the NIC's memory. Errors: NO_ROOM, where some of it is in use; DEVICE_GONE. */
export function nicSource({ name, native }: RdmaDevice, { size }: ProviderRange): ProviderSource {
  const memory = native.allocateMemory(size);
  return {
    bytes: {
      memory,
      busAddress: null,
      rdmaDevice: name,
      exportDmabuf: () => {
        throw new P2pError("NO_DMABUF", `${name} exports no dma-buf of its own memory`, {
          device: name,
          hint: `register it with ${name}, or use another provider`,
        });
      },
    },
    assertAlive: () => {
      addon().read32(memory, 0);
    },
    barrier: (readOne) => {
      readOne();
    },
    lend: () => Promise.resolve(),
    withdraw: () => undefined,
  };
}
