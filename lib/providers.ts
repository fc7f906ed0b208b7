import { P2pError } from "./errors.js";
import type { NvmeController } from "./nvme/controller.js";
import type { ProviderRange } from "./p2pmem/provider.js";
import type { Bar, PciFunction } from "./pci/function.js";

/**
 * The memory that a device can provide, what it is best used for first: the CMB and the PMR of an
 * NVMe controller, and every prefetchable BAR, largest first. Only such a BAR is memory: reads from
 * it have no side effects and writes may be merged (PCI 3.0 §6.2.5.1), which no registers allow.
 *
 * `controller`: the same device's, where it is an NVMe controller.
 */
export async function providerRanges(
  fn: PciFunction,
  controller: NvmeController | null,
): Promise<ProviderRange[]> {
  const ranges: ProviderRange[] = [];
  const cmb = controller?.cmb();
  if (cmb?.canRead === true && cmb.canWrite) ranges.push({ ...placeOf(cmb), kind: "cmb" });
  const pmr = await controller?.pmr();
  if (pmr?.canRead === true && pmr.canWrite) ranges.push({ ...placeOf(pmr), kind: "pmr" });
  const special = new Set([cmb?.bar, pmr?.bar]);
  const bars = fn.bars
    .filter((bar): bar is Bar => bar?.prefetchable === true && !special.has(bar.index))
    .sort((a, b) => b.size - a.size)
    .map(({ index, size }) => ({ kind: `bar${index}` as const, bar: index, offset: 0, size }));
  return [...ranges, ...bars];
}

/** One of them by its name, or the first. Errors: NO_PROVIDER, which says what there is. */
export function chooseRange(
  fn: PciFunction,
  ranges: readonly ProviderRange[],
  kind: string | null,
): ProviderRange {
  const range = kind === null ? ranges[0] : ranges.find((range) => range.kind === kind);
  if (range !== undefined) return range;
  throw new P2pError("NO_PROVIDER", `${fn.address} provides no ${kind ?? "memory"}`, {
    device: fn.address,
    hint:
      ranges.length === 0
        ? "it has no memory to offer; p2pmem list shows who has"
        : `it has ${ranges.map((range) => range.kind).join(", ")}`,
  });
}

function placeOf({ bar, offset, size }: Omit<ProviderRange, "kind">): Omit<ProviderRange, "kind"> {
  return { bar, offset, size };
}
