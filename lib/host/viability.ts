import type { PciFunction } from "../pci/function.js";
import { PCI_CLASS_SHIFT } from "../pci/spec.js";
import { PCI_CLASS_BRIDGE_HOST, PCI_CLASS_BRIDGE_ISA } from "./spec.js";

export const PCI_STUB = "pci-stub";

/** Drivers that leave a group to VFIO: they do no DMA of their own (`driver_managed_dma`). */
const NEUTRAL_DRIVERS = new Set(["pcieport", PCI_STUB]);

/**
 * To another bus, to the host, to ISA or LPC. Other functions of the class are devices like any
 * other: non-transparent bridges, a switch's management function.
 */
export function isBridge(fn: PciFunction): boolean {
  const subclass = fn.classCode >>> PCI_CLASS_SHIFT;
  return fn.isBridge || subclass === PCI_CLASS_BRIDGE_HOST || subclass === PCI_CLASS_BRIDGE_ISA;
}

/** linux/drivers/iommu/iommu.c, iommu_group_claim_dma_owner(): functions without a driver do not. */
export function keepsGroupFromVfio(fn: PciFunction): boolean {
  return fn.driver !== null && !fn.isOwnedByVfio && !NEUTRAL_DRIVERS.has(fn.driver);
}
