import type { RawPciFunction } from "../addon.js";
import { parseBdf, type Bdf } from "./bdf.js";
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

/** One PCI function: what its configuration space and sysfs say of it. */
export class PciFunction {
  readonly address: Bdf;
  readonly parent: PciFunction | null;
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
  readonly numaNode: number | null;
  /**
   * ACS control register; null where there is no ACS capability; undefined where it could not be
   * read (sysfs shows only 64 bytes of configuration space to users other than root).
   */
  readonly acsControl: number | null | undefined;

  constructor(raw: RawPciFunction, parent: PciFunction | null) {
    const config = new DataView(raw.config.buffer, raw.config.byteOffset, raw.config.byteLength);
    this.address = parseBdf(raw.address);
    this.parent = parent;
    this.vendorId = config.getUint16(spec.PCI_VENDOR_ID, true);
    this.deviceId = config.getUint16(spec.PCI_DEVICE_ID, true);
    this.classCode = config.getUint32(spec.PCI_CLASS_REVISION, true) >>> 8;
    this.isBridge =
      (config.getUint8(spec.PCI_HEADER_TYPE) & spec.PCI_HEADER_TYPE_MASK) ===
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
    this.numaNode = raw.numaNode;
    this.acsControl = readAcsControl(config);
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

function readAcsControl(config: DataView): number | null | undefined {
  // A conventional PCI function has no extended configuration space, hence no ACS.
  const isExpress = findCapability(config, spec.PCI_CAP_ID_EXP);
  if (isExpress === undefined) return undefined;
  if (!isExpress) return null;
  if (config.byteLength <= spec.PCI_EXT_CAP_START) return undefined;
  // The list ends with a next pointer of 0; the bound is against a broken list that is a ring.
  let at = spec.PCI_EXT_CAP_START;
  for (let left = 1024; left > 0 && at >= spec.PCI_EXT_CAP_START; left--) {
    if (at + spec.PCI_ACS_CTRL + 2 > config.byteLength) break;
    const header = config.getUint32(at, true);
    if ((header & 0xffff) === spec.PCI_EXT_CAP_ID_ACS)
      return config.getUint16(at + spec.PCI_ACS_CTRL, true);
    at = (header >>> 20) & 0xffc;
  }
  return null;
}

/** Whether the capability is there; undefined where too little could be read to say. */
function findCapability(config: DataView, id: number): boolean | undefined {
  if ((config.getUint16(spec.PCI_STATUS, true) & spec.PCI_STATUS_CAP_LIST) === 0) return false;
  let at = config.getUint8(spec.PCI_CAPABILITY_LIST) & 0xfc;
  for (let left = 48; left > 0 && at !== 0; left--) {
    if (at + 2 > config.byteLength) return undefined;
    if (config.getUint8(at) === id) return true;
    at = config.getUint8(at + 1) & 0xfc;
  }
  return false;
}
