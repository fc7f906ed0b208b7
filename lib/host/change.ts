import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { Host } from "./host.js";

/** What `bind` or `unbind` does to one device. */
export interface BindingChange {
  address: Bdf;
  /** null: none. */
  earlier_driver: string | null;
  driver: string | null;
  iommu_group: number | null;
  /** The file by which a process has the device; null where it is not VFIO's. */
  file: string | null;
  /** Who was given that file; null where nobody was named. */
  user: string | null;
  changed: boolean;
}

/** Errors: PERMISSION. */
export function requireRoot(host: Host, command: string): void {
  if (host.uid === 0) return;
  throw new P2pError("PERMISSION", "only root may give devices to other drivers", {
    hint: `run sudo ${command} …; --dry-run shows what it would do`,
  });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
