import {
  addon,
  type NativeAddressSpace,
  type NativeDevice,
  type NativeDmaFault,
  type NativeMemory,
} from "../addon.js";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciTree } from "../pci/tree.js";
import type { Platform } from "../platform.js";
import { DmaBuffer } from "./dma-buffer.js";
import { IovaAllocator, type IovaRange } from "./iova-allocator.js";
import { KernelFaultLog } from "./kernel-fault-log.js";
import { LiveMappings } from "./live-mappings.js";
import { PeerMapping } from "./peer-mapping.js";
import { ReservedIovas } from "./reserved-iovas.js";

/** What a device may do with a mapping. */
export interface DeviceAccess {
  read: boolean;
  write: boolean;
}

const READ_WRITE: DeviceAccess = { read: true, write: true };
const SMALL_PAGE = 4096;
const HUGE_PAGE = 2 ** 21;

/**
 * The one IOMMU domain of a job: all of its devices are attached to it, so whatever is mapped here
 * is reachable by each of them. (With a domain for each device a peer's BAR would be mapped for
 * nobody else, and its DMA be lost without an error.)
 */
export class AddressSpace {
  /** The machine whose devices it serves. */
  readonly tree: PciTree;
  /** The scatterlists that are mapped. */
  readonly mappings = new LiveMappings();
  readonly #native: NativeAddressSpace;
  readonly #faultLog: KernelFaultLog | null;
  readonly #devices = new Map<Bdf, NativeDevice>();
  #allocator: IovaAllocator | undefined;
  #isClosed = false;

  constructor(platform: Platform, tree: PciTree) {
    this.#native = platform.openAddressSpace();
    this.tree = tree;
    this.#faultLog = platform.kind === "vfio" ? new KernelFaultLog() : null;
  }

  /**
   * Takes a device and attaches it. The caller gives it back: closeDevice().
   * Errors: UNKNOWN_DEVICE, NOT_BOUND, NO_VFIO, NO_IOMMU, PERMISSION, GROUP_NOT_VIABLE, IN_USE.
   */
  openDevice(address: Bdf): NativeDevice {
    const device = this.#native.openDevice(address);
    try {
      // A group brings the reserved ranges and the address width of its own IOMMU with it.
      this.#allocator?.restrict(this.#usableRanges());
    } catch (error) {
      device.close();
      throw error;
    }
    this.#devices.set(address, device);
    return device;
  }

  /** Lets go of a device: what is mapped here is not mapped for it any more. Idempotent. */
  closeDevice(address: Bdf): void {
    this.#devices.get(address)?.close();
    this.#devices.delete(address);
  }

  /** True where there is a device that something could be mapped for. */
  get hasDevices(): boolean {
    return this.#devices.size > 0;
  }

  /** True where the device is open here, so that what is mapped here is mapped for it. */
  hasDevice(address: Bdf): boolean {
    return this.#devices.has(address);
  }

  /**
   * Pinned, zeroed host memory of at least `size` bytes, mapped for all devices.
   * Errors: NO_MEMORY, MEMLOCK, NO_IOVA, MAPPING_LIMIT, NO_DEVICE before a first device is open.
   */
  allocate(size: number, options: { huge?: boolean; deviceAccess?: DeviceAccess } = {}): DmaBuffer {
    const memory = addon().allocatePinned(size, options.huge ?? false);
    try {
      // Aligned alike in both address spaces, so that the IOMMU can use its large pages.
      const range = this.iovas.allocate(
        memory.size,
        memory.size >= HUGE_PAGE ? HUGE_PAGE : SMALL_PAGE,
      );
      this.#mapAt(memory, range, options.deviceAccess ?? READ_WRITE);
      return new DmaBuffer(this, memory, range.iova, () => {
        this.#unmap(range);
      });
    } catch (error) {
      memory.close();
      throw error;
    }
  }

  /**
   * Maps a peer's BAR range for all devices: at the IOVA that equals its bus address where that is
   * free, so that one address is right below a switch and through the IOMMU; else, and where that is
   * not known (null), somewhere. The caller goes on owning `memory`. Errors: IOVA_RANGE, NO_IOVA,
   * MAPPING_LIMIT, IO; NO_DEVICE before a first device is open.
   */
  mapPeer(memory: NativeMemory, busAddress: number | null): PeerMapping {
    const size = memory.size;
    const identity = busAddress === null ? null : this.iovas.take(busAddress, size);
    const range = identity ?? this.iovas.allocate(size, SMALL_PAGE);
    this.#mapAt(memory, range, READ_WRITE);
    return new PeerMapping(range.iova, size, identity !== null, () => {
      this.#unmap(range);
    });
  }

  /**
   * IOVAs for `count` pieces of `size` bytes (whole pages), next to each other, each of which whoever has
   * the address space's number maps and unmaps by itself, at its place. Errors: NO_IOVA.
   */
  reserve(count: number, size: number): ReservedIovas {
    const range = this.iovas.allocate(count * size, size >= HUGE_PAGE ? HUGE_PAGE : SMALL_PAGE);
    const { iova } = range;
    return new ReservedIovas(this.#native.id, iova, () => {
      if (this.#isClosed) return; // close() has unmapped everything
      for (let i = 0; i < count; i++) this.#unmapLeft(iova + i * size, size);
      this.iovas.release(range);
    });
  }

  /**
   * The accesses that the IOMMU refused since the last call, oldest first; null where the kernel's
   * log, the only place for them under VFIO, cannot be read. The log may lag behind the fault.
   */
  takeFaults(): NativeDmaFault[] | null {
    return this.#faultLog ? this.#faultLog.take() : this.#native.takeFaults();
  }

  /**
   * Unmaps everything. Devices must be closed before. Warns of vectors that were not unmapped
   * (P2PMEM_DMA_LEAK). Idempotent.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.mappings.warnOfLeaks();
    this.#native.close();
    this.#faultLog?.close();
  }

  private get iovas(): IovaAllocator {
    return (this.#allocator ??= this.#makeAllocator());
  }

  #makeAllocator(): IovaAllocator {
    if ((this.#native.info().pageSizes & BigInt(SMALL_PAGE)) === 0n)
      throw new P2pError("IOVA_RANGE", "this IOMMU has no pages of 4096 bytes");
    return new IovaAllocator(this.#usableRanges(), this.tree.busRanges());
  }

  #usableRanges(): { first: number; last: number }[] {
    const { ranges } = this.#native.info();
    // A kernel before 5.4 does not list its ranges: assume what every x86-64 IOMMU can do, with
    // the hole for interrupts (Intel SDM 3 §11.11.1).
    const usable = ranges.length > 0 ? ranges : FALLBACK_RANGES;
    return usable.map(({ first, last }) => ({ first: Number(first), last: Number(last) }));
  }

  #mapAt(memory: NativeMemory, range: IovaRange, access: DeviceAccess): void {
    try {
      this.#native.map(memory, 0, memory.size, BigInt(range.iova), access);
    } catch (error) {
      this.iovas.release(range);
      throw error;
    }
  }

  #unmapLeft(iova: number, size: number): void {
    try {
      this.#native.unmap(BigInt(iova), size);
    } catch (error) {
      if (!(error instanceof P2pError && error.code === "NOT_MAPPED")) throw error;
    }
  }

  #unmap(range: IovaRange): void {
    if (this.#isClosed) return; // close() has unmapped everything
    this.#native.unmap(BigInt(range.iova), range.size);
    this.iovas.release(range);
  }
}

const FALLBACK_RANGES = [
  { first: 0n, last: 0xfedfffffn },
  { first: 0xfef00000n, last: 0x7fffffffffn },
];
