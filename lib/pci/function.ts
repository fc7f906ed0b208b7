import type { RawLink, RawPciFunction } from "../platform.js";
import { readAcs, type Acs } from "./acs.js";
import { parseBdf, type Bdf } from "./bdf.js";
import { ConfigSpace } from "./config-space.js";
import { readExpress, type Express } from "./express.js";
import {
  readBars,
  readUnassignedBars,
  readVfBars,
  readWindows,
  type AddressRange,
  type Bar,
} from "./resources.js";
import { readMsix, type Msix } from "./msix.js";
import * as spec from "./spec.js";

export type { AddressRange, Bar };

/** What the IOMMU does for a function's DMA in the kernel's hands (not in VFIO's, where it translates). */
export type IommuMode = (typeof IOMMU_MODES)[number];
export const IOMMU_MODES = ["translates", "passes", "none", "unknown"] as const;

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
  /** Memory BARs by index; null where there is none with an address (or an I/O BAR). */
  readonly bars: readonly (Bar | null)[];
  /** Memory BARs that firmware and kernel found no room for: nobody can reach them. */
  readonly unassignedBars: readonly Pick<Bar, "index" | "size">[];
  /** Memory windows of a bridge. */
  readonly windows: readonly AddressRange[];
  /** Where the BARs of its virtual functions are. */
  readonly vfBars: readonly AddressRange[];
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
  /** Null: no such capability; undefined: too little could be read. */
  readonly msix: Msix | null | undefined;
  /** The link above it, or of a root or downstream port the one below; null: none, or not known. */
  readonly link: RawLink | null;

  /** Bytes of configuration space that could be read: 64 for users other than root. */
  readonly configSize: number;
  /** False where its registers read as all ones: in reset, without power, or gone. */
  readonly answers: boolean;

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
    this.bars = readBars(raw.resources);
    this.unassignedBars = readUnassignedBars(raw.resources);
    this.windows = this.isBridge ? readWindows(raw.resources, config) : [];
    this.vfBars = this.isBridge ? [] : readVfBars(raw.resources);
    this.driver = raw.driver;
    this.iommuGroup = raw.iommuGroup;
    this.iommu = iommuMode(raw);
    this.numaNode = raw.numaNode;
    this.physicalFunction = raw.physicalFunction === null ? null : parseBdf(raw.physicalFunction);
    this.express = readExpress(config);
    this.acs = readAcs(config);
    this.msix = readMsix(config);
    this.link = raw.link ?? this.express?.link ?? null;
    this.configSize = config.size;
    this.answers = config.answers;
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
