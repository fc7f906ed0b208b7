import type { NativeMemory } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { NvmeController } from "../nvme/controller.js";
import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import type { Session } from "../session.js";
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

/**
 * Reserves IOVAs for the slots of one queue, in `memory` from `memoryOffset` on, and room for their lists.
 * Errors: NO_IOVA, NO_MEMORY, MEMLOCK, UNSUPPORTED.
 */
export function openRegistered(
  { addressSpace, controller, descriptors, closes }: RegistrationContext,
  memory: NativeMemory,
  memoryOffset: number,
  layout: SlotLayout,
): RegisteredSlots {
  const { slots, stride, commandBytes, ioBytes } = layout;
  const device = controller.address;
  const reserved = addressSpace.reserve(slots, stride);
  closes.push(() => {
    reserved.close();
  });
  const vector = slotVector(device, reserved.iova, layout);
  const first = Math.min(commandBytes, ioBytes);
  const kind = controller.dataPointers.choose(descriptors).settle(vector, 0, first);
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
      ...{ device, addressSpaceId: reserved.addressSpaceId, iova: reserved.iova },
      ...{ memoryId: memory.id, memoryOffset, layout, lists },
      descriptors: kind.flags === 0 ? "prp" : "sgl",
    },
    pointers: new Int32Array(commands * 4),
    flags: kind.flags,
  };
}

/**
 * That a client may be given the provider's memory at other addresses than the provider's own. Its own
 * memory a controller knows by its address. Below a switch that hands requests over, others would take
 * another way than the one that is proved: to the root complex, of which nobody knows whether it
 * forwards them. Errors: UNSUPPORTED.
 */
export function checkPeerRegistration(session: Session, provider: Provider, client: Bdf): void {
  const refuse = (why: string): P2pError =>
    new P2pError(
      "UNSUPPORTED",
      `the memory of ${provider.name} cannot be mapped for each I/O: ${why}`,
      {
        device: client,
        hint: "use the registration once, or host memory",
      },
    );
  if (provider.fn.address === client) throw refuse("it is the client's own");
  const { route } = provider.pathTo(client);
  const isDirect = provider.isIdentityMapped && route !== "root";
  if (session.platform.kind === "vfio" && isDirect)
    throw refuse(`${client} reaches it below a switch, by its bus address alone`);
}
