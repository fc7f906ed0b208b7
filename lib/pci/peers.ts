import type { PciFunction } from "./function.js";
import * as spec from "./spec.js";
import type { PciTree } from "./tree.js";

/** Less is no memory worth offering: the BARs of most devices' registers are smaller. */
const LEAST_MEMORY = 2 ** 20;

const CLIENT_CLASSES: ReadonlySet<number> = new Set([
  spec.PCI_BASE_CLASS_NETWORK,
  spec.PCI_BASE_CLASS_DISPLAY,
  spec.PCI_BASE_CLASS_ACCELERATOR,
]);

/**
 * Who may have memory to offer, by what can be seen without opening a device: endpoints with a
 * prefetchable BAR of 1 MiB or more. Whether an NVMe controller's is a CMB its registers say, later.
 */
export function likelyProviders(tree: PciTree): PciFunction[] {
  return tree.functions.filter(
    (fn) =>
      isDevice(fn) && fn.bars.some((bar) => bar?.prefetchable === true && bar.size >= LEAST_MEMORY),
  );
}

/** Whose DMA may want to reach such memory: NVMe controllers, network, RDMA, GPUs, accelerators. */
export function likelyClients(tree: PciTree): PciFunction[] {
  return tree.functions.filter(
    (fn) =>
      isDevice(fn) &&
      (fn.isNvme ||
        CLIENT_CLASSES.has(fn.classCode >> spec.PCI_BASE_CLASS_SHIFT) ||
        fn.classCode >> spec.PCI_CLASS_SHIFT === spec.PCI_CLASS_INFINIBAND),
  );
}

/** A virtual function goes the way of its physical function, which stands for all of them. */
function isDevice(fn: PciFunction): boolean {
  return !fn.isBridge && fn.physicalFunction === null;
}
