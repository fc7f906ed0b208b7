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
 * All of a NIC's memory, if other devices can be let at it: that is probed. `wanted`: what was asked for.
 * Errors: NO_PROVIDER with the reason, where it is that; DEVICE_GONE.
 */
export function nicRanges(nic: RdmaDevice, wanted: ProviderKind | "all" | null): ProviderRange[] {
  const { deviceMemoryBytes } = nic.attributes;
  const size = deviceMemoryBytes - (deviceMemoryBytes % POOL_PAGE);
  const refusal = size === 0 ? null : refusalOf(nic);
  if (size > 0 && refusal === null) return [wholeRange("dm", { bar: null, offset: 0, size })];
  if (refusal !== null && wanted === "dm")
    throw new P2pError("NO_PROVIDER", refusal.message, {
      device: nic.name,
      hint: refusal.hint ?? "p2pmem list shows who has memory",
      cause: refusal,
    });
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

/** Null where it can be had, now or once others have let go of it. Errors: DEVICE_GONE. */
function refusalOf({ native }: RdmaDevice): P2pError | null {
  try {
    native.allocateMemory(POOL_PAGE).close();
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    if (error.code === "UNSUPPORTED") return error;
    if (error.code !== "NO_ROOM") throw error;
  }
  return null;
}
