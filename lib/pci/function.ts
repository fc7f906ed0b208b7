import type { RawLink, RawPciFunction } from "../platform.js";
import { readAcs, type Acs } from "./acs.js";
import { parseBdf, type Bdf } from "./bdf.js";
import { ConfigSpace } from "./config-space.js";
import { readExpress, type Express } from "./express.js";
import * as spec from "./spec.js";

/** A memory BAR. */
export interface Bar {
  readonly index: number;
  /** Bus address; what a peer must put on the wire to reach it. */
  readonly address: number;
  /** Bytes. */
  readonly size: number;
  readonly prefetchable: boolean;
  readonly is64: boolean;
}

/** A range of bus addresses. */
export interface AddressRange {
  readonly start: number;
  /** Bytes. */
  readonly size: number;
}

/** What the IOMMU does for a function's DMA in the kernel's hands (not in VFIO's, where it translates). */
export type IommuMode = "translates" | "passes" | "none" | "unknown";

/** One PCI function: what its configuration space and sysfs say of it. */
export class PciFunction {
  readonly address: Bdf;
  /** The bridge above; null on a root bus. */
  readonly parent: PciFunction | null;
  /** Name of the host bridge that it hangs from. */
  readonly hostBridge: string;
  readonly vendorId: number;
  readonly deviceId: number;
  /** Class, subclass and programming interface, 24 bits. */
  readonly classCode: number;
  readonly isBridge: boolean;
  /** Memory BARs by index; null where there is none (or an I/O BAR). */
  readonly bars: readonly (Bar | null)[];
  /** Memory windows of a bridge; other resources beyond the BARs (VF BARs) of an endpoint. */
  readonly windows: readonly AddressRange[];
  readonly driver: string | null;
  readonly iommuGroup: number | null;
  readonly iommu: IommuMode;
  readonly numaNode: number | null;
  /** The physical function of an SR-IOV virtual function. */
  readonly physicalFunction: Bdf | null;
  /** Null: conventional PCI; undefined: too little could be read (sysfs gives 64 bytes to users). */
  readonly express: Express | null | undefined;
  /** Null: no such capability; undefined: too little could be read. */
  readonly acs: Acs | null | undefined;
  /** The link above it, or of a root or downstream port the one below; null: none, or not known. */
  readonly link: RawLink | null;

  constructor(raw: RawPciFunction, parent: PciFunction | null) {
    const config = new ConfigSpace(raw.config);
    this.address = parseBdf(raw.address);
    this.parent = parent;
    this.hostBridge = raw.hostBridge;
    this.vendorId = raw.vendorId;
    this.deviceId = raw.deviceId;
    this.classCode = (config.read32(spec.PCI_CLASS_REVISION) ?? 0) >>> 8;
    this.isBridge =
      ((config.read8(spec.PCI_HEADER_TYPE) ?? 0) & spec.PCI_HEADER_TYPE_MASK) ===
      spec.PCI_HEADER_TYPE_BRIDGE;
    this.bars = raw.resources.slice(0, spec.BAR_COUNT).map((resource, index) =>
      resource.size > 0n && (resource.flags & spec.IORESOURCE_MEM) !== 0n
        ? {
            index,
            address: Number(resource.start),
            size: Number(resource.size),
            prefetchable: (resource.flags & spec.IORESOURCE_PREFETCH) !== 0n,
            is64: (resource.flags & spec.IORESOURCE_MEM_64) !== 0n,
          }
        : null,
    );
    this.windows = raw.resources
      .slice(spec.WINDOWS_START)
      .filter(({ size, flags }) => size > 0n && (flags & spec.IORESOURCE_MEM) !== 0n)
      .map(({ start, size }) => ({ start: Number(start), size: Number(size) }));
    this.driver = raw.driver;
    this.iommuGroup = raw.iommuGroup;
    this.iommu = iommuMode(raw);
    this.numaNode = raw.numaNode;
    this.physicalFunction = raw.physicalFunction === null ? null : parseBdf(raw.physicalFunction);
    this.express = readExpress(config);
    this.acs = readAcs(config);
    this.link = raw.link ?? this.express?.link ?? null;
  }

  get isNvme(): boolean {
    return this.classCode === spec.PCI_CLASS_NVME;
  }

  /** True where a VFIO driver owns it, so that p2pmem can. */
  get isOwnedByVfio(): boolean {
    return this.driver?.includes("vfio") ?? false;
  }

  /** The bridges above, nearest first. */
  upstream(): PciFunction[] {
    const bridges = [];
    for (let bridge = this.parent; bridge; bridge = bridge.parent) bridges.push(bridge);
    return bridges;
  }
}

/** Documentation/ABI/testing/sysfs-kernel-iommu_groups: type. */
function iommuMode({ iommuGroup, iommuDomainType }: RawPciFunction): IommuMode {
  if (iommuGroup === null) return "none";
  if (iommuDomainType === null) return "unknown";
  return iommuDomainType === "identity" ? "passes" : "translates";
}
