import type { Range } from "../extents/ranges.js";
import { P2pError } from "../errors.js";
import { Access } from "../rdma/spec.js";
import type { MemoryRegion } from "../rdma/memory-region.js";
import type { Provider } from "../p2pmem/provider.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { tryAll } from "../try-all.js";
import { formatSize } from "../units.js";
import type { WireJob } from "./job.js";
import type { StagingRequest } from "./staging.js";

/** The memory of all slots of one end, as both devices address it. */
export interface SlotMemory {
  /** Null: host memory. */
  provider: Provider | null;
  /** The part of the provider that it is, bytes. */
  held: Range | null;
  /** So many have room. */
  count: number;
  /** Mapped for the NVMe device. */
  vector: DmaVector;
  /** Registered with the NIC, in one piece. */
  region: MemoryRegion;
  barrier: WireJob["barrier"];
  /** Lets go of it: no DMA of the NVMe device may be in flight; the region's keys are invalidated. */
  close(): void;
}

/** Errors: NO_MEMORY, MEMLOCK, NO_IOVA; those of ProtectionDomain.register(). */
export function openHostSlots(request: StagingRequest): SlotMemory {
  const { session, end } = request;
  const { slots: count, stride } = end;
  return opening((closes) => {
    const buffer = session.addressSpace.allocate(count * stride, { huge: true });
    closes.push(() => {
      buffer.close();
    });
    const list = new ScatterList(session.addressSpace).addHost(buffer, 0, count * stride);
    return { provider: null, held: null, count, barrier: null, ...mapped(request, list, closes) };
  });
}

/**
 * Fewer slots where the provider has no room for as many. Errors: NO_ROOM; those of ScatterList.map()
 * and of ProtectionDomain.register().
 */
export function openPeerSlots(request: StagingRequest, provider: Provider): SlotMemory {
  const { session, end } = request;
  const { stride } = end;
  const { pool, name } = provider;
  const count = Math.min(end.slots, Math.floor(pool.largestFree / stride));
  provider.assertUsable();
  if (count === 0)
    throw new P2pError(
      "NO_ROOM",
      `${name} has ${formatSize(pool.largestFree)} free, too little for a block of ${formatSize(stride)}`,
      { device: provider.fn.address, hint: "use a smaller block size or a larger provider" },
    );
  return opening((closes) => {
    const allocation = pool.alloc(count * stride);
    closes.push(() => {
      pool.free(allocation);
    });
    const { offset, length } = allocation;
    const list = new ScatterList(session.addressSpace);
    list.addPeer(provider, offset, count * stride, allocation);
    return {
      ...{ provider, held: { start: offset, end: offset + length }, count },
      barrier: { memoryId: provider.memory.id, offset },
      ...mapped(request, list, closes),
    };
  });
}

/**
 * Where devices' writes to that memory are complete, they have landed there, and it is the memory that
 * it was. Errors: REVOKED; PMR_FAILED; DEVICE_GONE, CONTROLLER_RESET, CONTROLLER_FATAL.
 */
export function assertIntact({ provider }: SlotMemory): void {
  if (provider === null) return;
  provider.assertAlive();
  // A PMR says only then whether it has lost some of what went through it.
  provider.barrier();
}

function mapped(
  { plan, end, domain }: StagingRequest,
  list: ScatterList,
  closes: (() => void)[],
): Pick<SlotMemory, "vector" | "region"> {
  const vector = list.map(end.namespace.controller.address);
  closes.push(() => {
    vector.unmap();
  });
  // A source's memory is only read by its NIC.
  const access = plan.role === "source" ? 0 : Access.LOCAL_WRITE | Access.REMOTE_WRITE;
  const region = domain.register(list, access);
  closes.push(() => {
    region.close();
  });
  return { vector, region };
}

/** What has been opened goes again where the rest fails. */
function opening(open: (closes: (() => void)[]) => Omit<SlotMemory, "close">): SlotMemory {
  const closes: (() => void)[] = [];
  const close = (): void => {
    tryAll(closes.splice(0).reverse());
  };
  try {
    return { ...open(closes), close };
  } catch (error) {
    try {
      close();
    } catch {
      // What went wrong first is what there is to say.
    }
    throw error;
  }
}
