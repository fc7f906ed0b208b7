import type { NativeDevice, NativeMemory } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { Iova } from "../dma/iova.js";
import type { PeerMapping } from "../dma/peer-mapping.js";
import { P2pError } from "../errors.js";
import type { PciFunction } from "../pci/function.js";
import { Pool, POOL_PAGE } from "./pool.js";

/** Which part of a device a provider is: its CMB, its PMR, or a whole BAR. */
export type ProviderKind = "cmb" | "pmr" | `bar${number}`;

/** Where the memory lies on its device. */
export interface ProviderRange {
  readonly kind: ProviderKind;
  /** BAR index, 0 to 5. */
  readonly bar: number;
  /** Bytes from the start of the BAR; page aligned. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/**
 * Memory on a PCI device, mapped for all devices of an address space and given out by its pool.
 */
export class Provider {
  readonly fn: PciFunction;
  readonly range: ProviderRange;
  readonly addressSpace: AddressSpace;
  /** The whole range as the CPU reaches it; for named CPU copies and flushes only. */
  readonly memory: NativeMemory;
  readonly pool: Pool;
  readonly #mapping: PeerMapping;

  /**
   * Maps `range` of an open device. Errors: BAD_RANGE, NOT_MAPPABLE, and those of
   * AddressSpace.mapPeer().
   */
  constructor(
    addressSpace: AddressSpace,
    device: NativeDevice,
    fn: PciFunction,
    range: ProviderRange,
  ) {
    const bar = fn.bars[range.bar];
    if (!bar || range.offset % POOL_PAGE !== 0 || range.offset + range.size > bar.size)
      throw new P2pError(
        "BAD_RANGE",
        `${fn.address} has no ${range.size} bytes at offset ${range.offset} of BAR ${range.bar}`,
        { device: fn.address },
      );
    this.fn = fn;
    this.range = range;
    this.addressSpace = addressSpace;
    this.memory = device.region(range.bar).map(range.offset, range.size);
    try {
      this.#mapping = addressSpace.mapPeer(this.memory, bar.address + range.offset);
    } catch (error) {
      this.memory.close();
      throw error;
    }
    this.pool = new Pool(range.size);
  }

  /** `0000:03:00.0/cmb` */
  get name(): string {
    return `${this.fn.address}/${this.range.kind}`;
  }

  /** Bytes. */
  get size(): number {
    return this.range.size;
  }

  /** Where the devices of the address space find its first byte. */
  get iova(): Iova {
    return this.#mapping.iova;
  }

  /** True where that is its bus address, too, so that a switch can route to it directly. */
  get isIdentityMapped(): boolean {
    return this.#mapping.isIdentity;
  }

  /** Unmaps it. No DMA to it may be in flight. Idempotent. */
  close(): void {
    this.#mapping.close();
    this.memory.close();
  }
}
