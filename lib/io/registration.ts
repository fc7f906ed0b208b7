import type { NativeMemory } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { NvmeController } from "../nvme/controller.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import { listStride, type SlotLayout } from "./pointers.js";
import { slotVector, type RegistrarJob } from "./registrar.js";

/** Slots whose memory is mapped for each I/O. */
export interface RegisteredSlots {
  registrar: RegistrarJob;
  /** To be filled for each I/O: four words for each command of each slot. */
  pointers: Int32Array;
  /** What the data pointers need in dword 0 beside the opcode. */
  flags: number;
}

/** For whom slots are mapped, and how. */
export interface RegistrationContext {
  addressSpace: AddressSpace;
  controller: NvmeController;
  /** Undefined: as the controller does it. */
  descriptors: Descriptors | undefined;
  /** What undoes it is added here; to be done when the queue is no more. */
  closes: (() => void)[];
}

/** The memory of slots. */
export interface RegisteredMemory {
  memory: NativeMemory;
  /** Bytes from its start to the first slot. */
  offset: number;
  /** Where the device finds the first slot, if it always does: see keepsAddress(). */
  iova: number | null;
}

/**
 * Reserves IOVAs for the slots of one queue, unless they keep theirs, and room for their lists.
 * Errors: NO_IOVA, NO_MEMORY, MEMLOCK, UNSUPPORTED.
 */
export function openRegistered(
  { addressSpace, controller, descriptors, closes }: RegistrationContext,
  { memory, offset, iova }: RegisteredMemory,
  layout: SlotLayout,
): RegisteredSlots {
  const { slots, stride, commandBytes, ioBytes } = layout;
  const device = controller.address;
  const reserved = iova === null ? addressSpace.reserve(slots, stride) : null;
  closes.push(() => {
    reserved?.close();
  });
  const first = iova ?? reserved!.iova;
  const vector = slotVector(device, first, layout);
  const kind = controller.dataPointers
    .choose(descriptors)
    .settle(vector, 0, Math.min(commandBytes, ioBytes));
  const commands = slots * Math.ceil(ioBytes / commandBytes);
  const bytes = listStride(kind, vector, layout);
  let lists: RegistrarJob["lists"] = null;
  if (bytes > 0) {
    const buffer = addressSpace.allocate(commands * bytes);
    closes.push(() => {
      buffer.close();
    });
    lists = { memoryId: buffer.memory.id, iova: buffer.iova, stride: bytes };
  }
  return {
    registrar: {
      ...{ device, addressSpaceId: reserved?.addressSpaceId ?? null, iova: first },
      ...{ memoryId: memory.id, memoryOffset: offset, layout, lists },
      descriptors: kind.flags === 0 ? "prp" : "sgl",
    },
    pointers: new Int32Array(commands * 4),
    flags: kind.flags,
  };
}

/**
 * Whether the provider's memory keeps its own addresses for a client, so that descriptors alone are made
 * for each I/O, as the kernel's p2pdma does it: its own memory a controller knows by its address, and a
 * switch hands requests over by the bus address. At others they would take another way than the one that
 * is proved, to the root complex, of which nobody knows whether it forwards them. So it is where nobody
 * can tell what the switch does, too.
 */
export function keepsAddress(provider: Provider, client: Bdf): boolean {
  if (provider.fn.address === client) return true;
  return provider.isIdentityMapped && provider.pathTo(client).route !== "root";
}

/** For results: who maps nothing for each I/O although that was asked for. */
export function keptNotes(provider: Provider | null, clients: readonly Bdf[]): string[] {
  if (provider === null) return [];
  return [...new Set(clients)]
    .filter((client) => keepsAddress(provider, client))
    .map((client) => `no IOMMU mapping for each I/O of ${client}: ${whyKept(provider, client)}`);
}

function whyKept(provider: Provider, client: Bdf): string {
  const { route, routeReason } = provider.pathTo(client);
  const isKnown = route !== "unknown" && route !== "unstated";
  return isKnown
    ? `it reaches ${provider.name} by its bus address`
    : `it may reach ${provider.name} by its bus address, the route being ${route} (${routeReason})`;
}
