import type { NativeDevice, NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { PciFunction } from "../pci/function.js";
import { POOL_PAGE } from "./pool.js";
import type { ProviderRange } from "./provider-range.js";

/** The bytes that a provider gives out, and what whoever has them knows of them. */
export interface ProviderMemory {
  /** All of it as the CPU reaches it; the provider closes it. */
  readonly memory: NativeMemory;
  /** Where it lies on the bus; null where that is not known. */
  readonly busAddress: number | null;
  /** Name of the RDMA device whose own memory it is, and which registers it as such; null: of none. */
  readonly rdmaDevice: string | null;
  /**
   * Some of it, in whole pages, for other devices' drivers: a dma-buf, which the caller closes. Errors:
   * NO_DMABUF, and the others of NativeDevice.exportDmabuf().
   */
  exportDmabuf(offset: number, length: number): number;
}

/** Part of a BAR of a device that is open. Errors: BAD_RANGE, NOT_MAPPABLE. */
export function barMemory(
  device: NativeDevice,
  fn: PciFunction,
  { bar: index, offset: start, size }: ProviderRange,
): ProviderMemory {
  const bar = index === null ? null : fn.bars[index];
  if (!bar || start % POOL_PAGE !== 0 || start + size > bar.size)
    throw new P2pError(
      "BAD_RANGE",
      `${fn.address} has no ${size} bytes at offset ${start} of BAR ${index}`,
      { device: fn.address },
    );
  return {
    memory: device.region(bar.index).map(start, size),
    busAddress: bar.address + start,
    rdmaDevice: null,
    exportDmabuf: (offset, length) => device.exportDmabuf(bar.index, start + offset, length),
  };
}
