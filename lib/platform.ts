import type { NativeAddressSpace, NativeTraffic, RawPciFunction } from "./addon.js";

/** A machine with PCI devices and an IOMMU. */
export interface Platform {
  readonly kind: "vfio" | "loopback";
  /** One line for a person: which machine this is. */
  readonly description: string;
  /** Its PCI functions as they are now. */
  functions(): RawPciFunction[];
  openAddressSpace(): NativeAddressSpace;
  /** What crossed the fabric since the machine was made; null on real ones, which do not count. */
  traffic(): NativeTraffic | null;
  /** Idempotent. Address spaces must be closed before. */
  close(): void;
}
