import type { RawPciFunction } from "../platform.js";
import type { ConfigSpace } from "./config-space.js";
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

type Resource = RawPciFunction["resources"][number];

/** Memory BARs by index; null where there is none, an I/O BAR, or one that nobody gave an address. */
export function readBars(resources: readonly Resource[]): (Bar | null)[] {
  return resources.slice(0, spec.BAR_COUNT).map((resource, index) =>
    isMemory(resource) && isAssigned(resource)
      ? {
          index,
          address: Number(resource.start),
          size: Number(resource.size),
          prefetchable: (resource.flags & spec.IORESOURCE_PREFETCH) !== 0n,
          is64: (resource.flags & spec.IORESOURCE_MEM_64) !== 0n,
        }
      : null,
  );
}

/** Memory BARs that firmware and kernel found no room for: nobody can reach them. */
export function readUnassignedBars(resources: readonly Resource[]): Pick<Bar, "index" | "size">[] {
  return resources
    .slice(0, spec.BAR_COUNT)
    .map((resource, index) => ({ resource, index }))
    .filter(({ resource }) => isMemory(resource) && !isAssigned(resource))
    .map(({ resource, index }) => ({ index, size: Number(resource.size) }));
}

/** Of an SR-IOV physical function: where the BARs of its virtual functions are. */
export function readVfBars(resources: readonly Resource[]): AddressRange[] {
  return beyondRom(resources);
}

/**
 * Memory that a bridge forwards downstream. The kernel's lines have no windows for a bridge that it
 * gave no bus; then the registers say what the bridge does.
 */
export function readWindows(resources: readonly Resource[], config: ConfigSpace): AddressRange[] {
  const windows = beyondRom(resources);
  return windows.length > 0 ? windows : readWindowRegisters(config);
}

function readWindowRegisters(config: ConfigSpace): AddressRange[] {
  const read = (at: number): number => config.read16(at) ?? 0;
  const upper = (at: number): number => (config.read32(at) ?? 0) * 2 ** 32;
  if ((read(spec.PCI_COMMAND) & spec.PCI_COMMAND_MEMORY) === 0 || !config.answers) return [];
  const range = (base: number, limit: number): AddressRange[] =>
    base > limit ? [] : [{ start: base, size: limit - base + spec.PCI_WINDOW_GRANULE }];
  const bits = (at: number): number =>
    (read(at) & spec.PCI_WINDOW_MASK) * 2 ** spec.PCI_WINDOW_SHIFT;
  const is64 =
    (read(spec.PCI_PREF_MEMORY_BASE) & spec.PCI_PREF_RANGE_TYPE_MASK) ===
    spec.PCI_PREF_RANGE_TYPE_64;
  return [
    ...range(bits(spec.PCI_MEMORY_BASE), bits(spec.PCI_MEMORY_LIMIT)),
    ...range(
      bits(spec.PCI_PREF_MEMORY_BASE) + (is64 ? upper(spec.PCI_PREF_BASE_UPPER32) : 0),
      bits(spec.PCI_PREF_MEMORY_LIMIT) + (is64 ? upper(spec.PCI_PREF_LIMIT_UPPER32) : 0),
    ),
  ];
}

/**
 * The kernel's order is BARs, ROM, then six BARs for virtual functions, then windows (linux/pci.h);
 * without SR-IOV in the kernel the windows follow the ROM. A bridge has no BARs for virtual functions.
 */
function beyondRom(resources: readonly Resource[]): AddressRange[] {
  return resources
    .slice(spec.WINDOWS_START)
    .filter((resource) => isMemory(resource) && isAssigned(resource))
    .map(({ start, size }) => ({ start: Number(start), size: Number(size) }));
}

function isMemory({ size, flags }: Resource): boolean {
  return size > 0n && (flags & spec.IORESOURCE_MEM) !== 0n;
}

function isAssigned({ flags }: Resource): boolean {
  return (flags & (spec.IORESOURCE_UNSET | spec.IORESOURCE_DISABLED)) === 0n;
}
