import { P2pError } from "../errors.js";
import type { PciFunction } from "../pci/function.js";
import type { BarRange } from "../pci/msix.js";
import { formatSize, shortSize } from "../units.js";
import { POOL_PAGE } from "./pool.js";

/** Which memory of a device a provider is, or is part of: CMB, PMR, device memory (of a NIC), or a BAR. */
export type ProviderKind = "cmb" | "pmr" | "dm" | `bar${number}`;

/** Bytes of a device's memory. */
export interface MemoryRange {
  /** The BAR that they lie in; null of memory of which only the device's driver knows where it is. */
  readonly bar: number | null;
  /** Bytes from the start of the BAR, or of the memory that lies in none that is known. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** Where the memory lies on its device: whole pages. */
export interface ProviderRange extends MemoryRange {
  readonly kind: ProviderKind;
  /** Its name on the device: the kind, and of a part of it the place: `bar2@1m+16m`. */
  readonly label: string;
  /**
   * Of a CMB or PMR, the bits that say what it may be used for: SQS, CQS, LISTS, RDS, WDS (NVMe 1.4
   * §3.1.12, §3.1.23). Null for other memory, which holds any data.
   */
  readonly abilities: readonly string[] | null;
}

/** Part of a memory, in bytes from its start. */
export interface RangePart {
  readonly offset: number;
  /** To the end of the memory, where it is left out. */
  readonly length?: number | undefined;
}

/** Part of a BAR that is no memory, or not by this name: `the MSI-X table`. */
export interface ReservedRange extends BarRange {
  readonly what: string;
}

/** Why a PMR is not taken by itself. */
export const PMR_UNNAMED = "a PMR, which keeps what it holds and is used only where it is named";

/** Whether what it holds is meant to last: not to be overwritten unless it was named. */
export function isPersistent({ kind }: Pick<ProviderRange, "kind">): boolean {
  return kind === "pmr";
}

/**
 * Why data that passes from device to device must not rest there; null where it may. RDS and WDS speak
 * of the controller's own commands, but memory that is not for data promises nothing to peers
 * either: the kernel, too, lets p2pdma have a CMB only with both (linux/drivers/nvme/host/pci.c,
 * nvme_map_cmb).
 */
export function dataRefusal({ kind, abilities }: ProviderRange): string | null {
  const lacks = ["RDS", "WDS"].filter((bit) => abilities?.includes(bit) === false);
  if (lacks.length === 0) return null;
  return `it is not for data: its controller offers it without ${lacks.join(" and ")} (${kind === "pmr" ? "PMRCAP" : "CMBSZ"})`;
}

/** All of a memory. */
export function wholeRange(
  kind: ProviderKind,
  { bar, offset, size }: MemoryRange,
  abilities: readonly string[] | null = null,
): ProviderRange {
  return { kind, bar, offset, size, label: kind, abilities };
}

/** Part of a memory. Errors: BAD_RANGE. */
export function partOf(fn: PciFunction, whole: ProviderRange, part: RangePart): ProviderRange {
  const { offset, length = whole.size - offset } = part;
  const memory = `${fn.address}/${whole.kind}`;
  const refuse = (message: string, hint: string): P2pError =>
    new P2pError("BAD_RANGE", message, { device: fn.address, hint });
  if (offset >= whole.size || offset + length > whole.size)
    throw refuse(
      `${memory}@${shortSize(offset)}+${shortSize(length)} reaches past the end of ${memory}, which has ${formatSize(whole.size)}`,
      "give a smaller offset or length",
    );
  if (length === 0) throw refuse(`a range of ${memory} is empty`, "give a length above 0");
  if (offset % POOL_PAGE !== 0 || length % POOL_PAGE !== 0)
    throw refuse(
      `${memory}@${offset}+${length} are no whole pages`,
      `use multiples of ${formatSize(POOL_PAGE)}`,
    );
  if (length === whole.size) return whole;
  if (whole.bar === null)
    throw refuse(
      `${memory} is given out by its device's driver, which lets nobody choose a place in it`,
      `use all of it: ${memory}`,
    );
  const label = `${whole.kind}@${shortSize(offset)}+${shortSize(length)}`;
  return { ...whole, offset: whole.offset + offset, size: length, label };
}

/**
 * Whether peers may be let at a range. VFIO lets a process map, and so a peer write, the pages that
 * hold MSI-X vectors; nobody but p2pmem refuses them. Errors: NOT_MAPPABLE.
 */
export function assertNotReserved(
  fn: PciFunction,
  range: ProviderRange,
  reserved: readonly ReservedRange[],
): void {
  const hit = reserved.find((other) => overlaps(range, pagesOf(other)));
  if (hit === undefined) return;
  const place = `bytes ${hit.offset} to ${hit.offset + hit.size} of BAR ${hit.bar}`;
  throw new P2pError(
    "NOT_MAPPABLE",
    `${fn.address}/${range.label} is not open to peers: ${place} hold ${hit.what}`,
    { device: fn.address, hint: "name a range that is memory; p2pmem list shows what is known" },
  );
}

export function overlaps(a: MemoryRange, b: MemoryRange): boolean {
  return a.bar === b.bar && a.offset < b.offset + b.size && b.offset < a.offset + a.size;
}

/** What is mapped with it, as pages are mapped whole. */
function pagesOf({ bar, offset, size }: BarRange): BarRange {
  const start = Math.floor(offset / POOL_PAGE) * POOL_PAGE;
  return { bar, offset: start, size: Math.ceil((offset + size) / POOL_PAGE) * POOL_PAGE - start };
}
