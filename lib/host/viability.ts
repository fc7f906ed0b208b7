import type { PciFunction } from "../pci/function.js";
import { PCI_BASE_CLASS_BRIDGE } from "./spec.js";

/** Drivers that leave a group to VFIO: they do no DMA of their own (`driver_managed_dma`). */
const NEUTRAL_DRIVERS = new Set(["pcieport", "pci-stub"]);

/** Of any kind: to another bus, to the host, to ISA. */
export function isBridge(fn: PciFunction): boolean {
  return fn.isBridge || fn.classCode >>> 16 === PCI_BASE_CLASS_BRIDGE;
}

/** linux/drivers/iommu/iommu.c, iommu_group_claim_dma_owner(): functions without a driver do not. */
export function keepsGroupFromVfio(fn: PciFunction): boolean {
  return fn.driver !== null && !fn.isOwnedByVfio && !NEUTRAL_DRIVERS.has(fn.driver);
}
