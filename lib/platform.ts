import type { NativeAddressSpace, NativePciFunction, NativeTraffic } from "./addon.js";
import type { NativeRdmaDevice } from "./rdma-addon.js";

/** A PCI function: its registers, and what the kernel says of it (sysfs-bus-pci). */
export interface RawPciFunction extends NativePciFunction {
  /** From sysfs: in the registers of an SR-IOV virtual function they read FFFFh (SR-IOV 1.1 §3.4.1). */
  vendorId: number;
  deviceId: number;
  /** Name of the host bridge that it hangs from, `pci0000:00`: domain and root bus. */
  hostBridge: string;
  /** Address of the function that this host bridge is part of, as with Intel VMD; null: of none. */
  hostBridgeParent: string | null;
  /** Type of the default domain of its IOMMU group, such as `DMA` or `identity`; null: not known. */
  iommuDomainType: string | null;
  /** Address of the physical function, for an SR-IOV virtual function. */
  physicalFunction: string | null;
  /**
   * The link above it (of a port: below it) as the kernel has read it, for those who cannot read the
   * registers. Speeds in GT/s; null: not known.
   */
  link: RawLink | null;
}

export interface RawLink {
  speed: number | null;
  width: number | null;
  maxSpeed: number | null;
  maxWidth: number | null;
}

/** What decides whether peer-to-peer requests pass the root complex. */
export interface CpuIdentity {
  /** CPUID's vendor string: `GenuineIntel`, `AuthenticAMD`; elsewhere what /proc/cpuinfo has for it. */
  vendor: string;
  /** Display family, as in /proc/cpuinfo; 0 where the architecture has none. */
  family: number;
  model: string;
}

export interface RawTopology {
  functions: RawPciFunction[];
  /** Null where it is not known. */
  cpu: CpuIdentity | null;
}

/** A machine with PCI devices and an IOMMU. */
export interface Platform {
  readonly kind: "vfio" | "loopback";
  /** One line for a person: which machine this is. */
  readonly description: string;
  /** Its processor and PCI functions as they are now. */
  topology(): RawTopology;
  openAddressSpace(): NativeAddressSpace;
  /** What crossed the fabric since the machine was made; null on real ones, which do not count. */
  traffic(): NativeTraffic | null;
  /** Its NICs: names as RDMA devices, and PCI addresses; null: no PCI function. Errors: NO_VERBS. */
  rdmaDevices(): { name: string; address: string | null }[];
  /** Errors: NO_VERBS, UNKNOWN_DEVICE, PERMISSION, DEVICE_GONE, NO_MEMORY, IO. */
  openRdmaDevice(name: string): NativeRdmaDevice;
  /** Idempotent. Address spaces must be closed before. */
  close(): void;
}
