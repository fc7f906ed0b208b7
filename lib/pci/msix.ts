import type { ConfigSpace } from "./config-space.js";
import * as spec from "./spec.js";

/** Bytes of a BAR. */
export interface BarRange {
  readonly bar: number;
  /** Bytes from the start of the BAR. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

/** Where a function keeps its interrupt vectors (PCI 3.0 §6.8.2). */
export interface Msix {
  readonly table: BarRange;
  /** Pending Bit Array. */
  readonly pending: BarRange;
}

/** Null where there is no MSI-X capability; undefined where too little could be read to say. */
export function readMsix(config: ConfigSpace): Msix | null | undefined {
  const at = config.capability(spec.PCI_CAP_ID_MSIX);
  if (at === null || at === undefined) return at;
  const flags = config.read16(at + spec.PCI_MSIX_FLAGS);
  const table = config.read32(at + spec.PCI_MSIX_TABLE);
  const pending = config.read32(at + spec.PCI_MSIX_PBA);
  if (flags === undefined || table === undefined || pending === undefined) return undefined;
  const vectors = (flags & spec.PCI_MSIX_FLAGS_QSIZE) + 1;
  return {
    table: rangeOf(table, vectors * spec.PCI_MSIX_ENTRY_SIZE),
    pending: rangeOf(pending, Math.ceil(vectors / 64) * 8),
  };
}

/** The low bits of these registers are the number of a BAR. */
function rangeOf(register: number, size: number): BarRange {
  const bar = register & spec.PCI_MSIX_BIR;
  return { bar, offset: (register & ~spec.PCI_MSIX_BIR) >>> 0, size };
}
