import { CONFIG_REGION, type NativeDevice } from "./addon.js";
import { P2pError } from "./errors.js";
import type { NvmeController } from "./nvme/controller.js";
import { PMR_ERRORS, type OwnMemory } from "./nvme/memory/own-memory.js";
import { POOL_PAGE } from "./p2pmem/pool.js";
import type { ProviderMemory } from "./p2pmem/provider-memory.js";
import type { Provider, ProviderOwner } from "./p2pmem/provider.js";
import {
  dataRefusal,
  isPersistent,
  partOf,
  PMR_UNNAMED,
  wholeRange,
} from "./p2pmem/provider-range.js";
import type {
  ProviderKind,
  ProviderRange,
  RangePart,
  ReservedRange,
} from "./p2pmem/provider-range.js";
import { ConfigSpace } from "./pci/config-space.js";
import type { Bar, PciFunction } from "./pci/function.js";
import { readMsix } from "./pci/msix.js";
import { PCI_CONFIG_BYTES } from "./pci/spec.js";

/** A device, as a provider's memory comes from it. */
export interface ProviderSource extends Pick<ProviderOwner, "assertAlive" | "barrier"> {
  readonly bytes: ProviderMemory;
  /** Has the device let others at it, now that it is mapped. */
  lend(provider: Provider): Promise<void>;
  /** No part of it is a provider any more, and this one is about to be unmapped. */
  withdraw(): void;
}

/**
 * The memory that a device can provide, what it is best used for first: the CMB and the PMR of an
 * NVMe controller, and every prefetchable BAR, largest first. Only such a BAR is memory for certain:
 * reads from it have no side effects and writes may be merged (PCI 3.0 §6.2.5.1), which no registers
 * allow.
 *
 * `wanted`: which of it; null: what there is for data. Then, and where it is another one, a PMR is not
 * looked at closer: to switch it on may take minutes. With `all` one that does not work is left out.
 * `controller`: the same device's, where it is an NVMe controller. Errors: DEVICE_GONE; PMR_NOT_READY
 * and PMR_FAILED of a PMR that is wanted.
 */
export async function providerRanges(
  fn: PciFunction,
  controller: NvmeController | null,
  wanted: ProviderKind | "all" | null = "all",
): Promise<ProviderRange[]> {
  const ranges: ProviderRange[] = [];
  const cmb = controller?.memory.cmb();
  if (cmb) ranges.push(wholeRange("cmb", cmb, cmb.abilities));
  const pmr = controller?.memory.pmrRange() ?? null;
  if (controller && pmr && (await isOffered(controller.memory, wanted)))
    ranges.push(wholeRange("pmr", pmr, pmr.abilities));
  const special = new Set([cmb?.bar, pmr?.bar, fn.msix?.table.bar, fn.msix?.pending.bar]);
  const bars = fn.bars
    .filter(isWholePages)
    .filter((bar) => bar.prefetchable && !special.has(bar.index))
    .sort((a, b) => b.size - a.size)
    .map((bar) => wholeBar(bar));
  return [...ranges, ...bars];
}

async function isOffered(memory: OwnMemory, wanted: ProviderKind | "all" | null): Promise<boolean> {
  if (wanted !== "pmr" && wanted !== "all") return true;
  try {
    await memory.pmr();
    return true;
  } catch (error) {
    const isIll = error instanceof P2pError && PMR_ERRORS.has(error.code);
    if (isIll && wanted === "all") return false;
    throw error;
  }
}

/**
 * One of them by its name, or the first that is for data; or a part of one. Never a PMR that was not
 * named: what it holds is meant to last (NVMe 1.4 §4.8), and a provider's memory is overwritten. A
 * part may be named of any memory BAR: that of an FPGA need not be prefetchable, and the user knows
 * what is there. Errors: NO_PROVIDER, which says what there is; BAD_RANGE.
 */
export function chooseRange(
  fn: PciFunction,
  ranges: readonly ProviderRange[],
  kind: ProviderKind | null,
  part: RangePart | null,
): ProviderRange {
  const known = ranges.find((range) =>
    kind === null ? !isPersistent(range) && dataRefusal(range) === null : range.kind === kind,
  );
  if (part === null && known !== undefined) return known;
  const bar = fn.bars.find((bar) => bar !== null && `bar${bar.index}` === kind) ?? null;
  const whole = known ?? (bar && wholeBar(bar));
  if (part !== null && whole !== null) return partOf(fn, whole, part);
  const hasPmr = kind === null && ranges.some(isPersistent);
  throw new P2pError("NO_PROVIDER", `${fn.address} provides no ${kind ?? "memory"}`, {
    device: fn.address,
    hint: hasPmr
      ? `it has ${PMR_UNNAMED}: name it, ${fn.address}/pmr, if it may be overwritten`
      : hintFor(kind, bar, ranges),
  });
}

function hintFor(
  kind: ProviderKind | null,
  bar: Bar | null,
  ranges: readonly ProviderRange[],
): string {
  const known = ranges
    .map((range) => {
      const refusal = kind === null ? dataRefusal(range) : null;
      return refusal === null ? range.kind : `${range.kind}, but ${refusal}`;
    })
    .join(", ");
  if (bar)
    return `it has ${known || "none"} for certain; if this is memory, say where: ${kind}@OFFSET+LENGTH`;
  return known ? `it has ${known}` : "it has no memory to offer; p2pmem list shows who has";
}

/** The parts of a device's BARs that peers must not be let at as memory of this kind. */
export function reservedRanges(
  fn: PciFunction,
  device: NativeDevice,
  controller: NvmeController | null,
  kind: ProviderKind,
): ReservedRange[] {
  const reserved: ReservedRange[] = [];
  const msix = fn.msix === undefined ? readMsix(readConfig(device)) : fn.msix;
  if (msix) {
    reserved.push({ ...msix.table, what: "the MSI-X table" });
    reserved.push({ ...msix.pending, what: "the MSI-X pending bits" });
  }
  if (controller === null || kind === "cmb" || kind === "pmr") return reserved;
  // How many doorbells there are only the controller knows, and what lies beyond them nobody says.
  const bar0 = { bar: 0, offset: 0, size: fn.bars[0]?.size ?? 0 };
  reserved.push({ ...bar0, what: "registers and doorbells of an NVMe controller" });
  const cmb = controller.memory.cmb();
  if (cmb) reserved.push({ ...cmb, what: "the controller memory buffer, which is /cmb" });
  const pmr = controller.memory.pmrRange();
  if (pmr) reserved.push({ ...pmr, what: "the persistent memory region, which is /pmr" });
  return reserved;
}

/**
 * Tells a controller where peers and commands find its CMB or PMR. It answers to the addresses of
 * all of it, and keeps its DMA to them to itself, so they must be nobody else's. Those of a provider
 * that is all of it are not: what is mapped elsewhere got other IOVAs. Those around a part of it are
 * not either where it lies at its bus address, since the IOVA allocator keeps clear of all BARs.
 * Errors: CMB_REFUSED, PMR_REFUSED, DEVICE_GONE.
 */
export async function lendMemory(controller: NvmeController, provider: Provider): Promise<void> {
  const { kind, offset, size } = provider.range;
  if (kind !== "cmb" && kind !== "pmr") return;
  const whole = kind === "cmb" ? controller.memory.cmb() : await controller.memory.pmr();
  if (whole === null) return;
  if (size < whole.size && !provider.isIdentityMapped)
    throw new P2pError(
      kind === "cmb" ? "CMB_REFUSED" : "PMR_REFUSED",
      `${provider.name} cannot be used: its bus address is taken`,
      { device: controller.address, hint: `use all of it: ${controller.address}/${kind}` },
    );
  const base = provider.iova - (offset - whole.offset);
  if (kind === "cmb") controller.memory.enableCmb(base);
  else controller.memory.enablePmr(base);
}

/**
 * The controller's memory answers to no address any more: to be called before its range is unmapped,
 * or what is mapped there next would be hidden behind it.
 */
export function withdrawMemory(controller: NvmeController, kind: ProviderKind): void {
  if (kind === "cmb") controller.memory.withdrawCmb();
  else if (kind === "pmr") controller.memory.withdrawPmr();
}

/** ProviderOwner.barrier(): a read pushes what was posted before it, but a PMR may want another one. */
export function passBarrier(
  controller: NvmeController | null,
  kind: ProviderKind,
  readOne: () => void,
): void {
  if (controller !== null && kind === "pmr") controller.memory.pmrBarrier(readOne);
  else readOne();
}

/** No page is mapped for a peer that holds a stranger's registers behind a smaller BAR. */
function isWholePages(bar: Bar | null): bar is Bar {
  return bar !== null && bar.size % POOL_PAGE === 0;
}

function wholeBar({ index, size }: Bar): ProviderRange {
  return wholeRange(`bar${index}`, { bar: index, offset: 0, size });
}

/** Through VFIO, which shows all of it; sysfs shows users other than root the first 64 bytes. */
function readConfig(device: NativeDevice): ConfigSpace {
  const region = device.region(CONFIG_REGION);
  const words = new Uint32Array(PCI_CONFIG_BYTES / 4);
  for (let i = 0; i < words.length; i++) words[i] = region.read32(4 * i);
  return new ConfigSpace(new Uint8Array(words.buffer));
}
