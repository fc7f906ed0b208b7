import type { PciFunction } from "../pci/function.js";
import { PCI_BASE_CLASS_MEMORY, PCI_BASE_CLASS_SHIFT } from "../pci/spec.js";

/** Whether it looks like a p2pmem card, a memory controller with a prefetchable BAR, and may be opened. */
export function isMemoryCard(fn: PciFunction): boolean {
  return (
    fn.classCode >> PCI_BASE_CLASS_SHIFT === PCI_BASE_CLASS_MEMORY &&
    fn.isOwnedByVfio &&
    fn.bars.some((bar) => bar?.prefetchable)
  );
}
