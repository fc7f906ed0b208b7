/**
 * Submission queues and lists in a controller's own CMB, which it then reads without a request over
 * PCIe. Nobody else uses this memory: it is written by stores of 32 bits, and never read through.
 */
import type { NativeMemory } from "./addon.js";
import { lackingFor, type CmbUse } from "./nvme/memory/cmb.js";
import type { NvmeController } from "./nvme/controller.js";
import type { RevokeListener } from "./p2pmem/revocation.js";
import type { Provider } from "./p2pmem/provider.js";

const WHY = {
  SQS: "holds no submission queues (CMBSZ.SQS is 0)",
  LISTS: "holds no PRP lists and SGLs (CMBSZ.LISTS is 0)",
  CDPCILS: "takes lists only of commands that lie in it, too (CMBLOC.CDPCILS is 0)",
} as const;

/** Why a controller cannot have these in its CMB; null where it can. Errors: DEVICE_GONE. */
export function cmbRefusal({ address, memory }: NvmeController, use: CmbUse): string | null {
  const cmb = memory.cmb();
  if (cmb === null) return `${address} has no controller memory buffer`;
  const bit = lackingFor(cmb, use);
  return bit === null ? null : `the controller memory buffer of ${address} ${WHY[bit]}`;
}

/** Whole pages of a CMB. */
export interface CmbMemory {
  /** Of these pages alone. */
  readonly memory: NativeMemory;
  readonly buffer: ArrayBuffer;
  /** Where the controller finds the first of them. */
  readonly iova: number;
  /** When the controller uses them no more. Once. */
  close(): void;
}

/**
 * At least `size` bytes from the pool of `provider`, which is the CMB of `controller` or a part of it.
 * `onRevoke`: called if the provider goes while they are held. Errors: NO_ROOM, UNPUBLISHED, REVOKED.
 */
export function openCmbMemory(
  { device }: NvmeController,
  provider: Provider,
  size: number,
  onRevoke: RevokeListener,
): CmbMemory {
  const { pool, range } = provider;
  const allocation = pool.alloc(size);
  try {
    allocation.onRevoke(onRevoke);
    const { offset, length } = allocation;
    // A CMB lies in a BAR.
    const memory = device.region(range.bar!).map(range.offset + offset, length);
    return {
      memory,
      buffer: memory.buffer,
      iova: provider.iova + offset,
      close: () => {
        memory.close();
        pool.free(allocation);
      },
    };
  } catch (error) {
    pool.free(allocation);
    throw error;
  }
}
