import { addon, type NativeAddressSpace, type RawPciFunction } from "../addon.js";
import type { Platform } from "../platform.js";
import { readSysfs } from "./sysfs.js";

/** This machine, its devices owned through the kernel's VFIO. */
export class VfioPlatform implements Platform {
  readonly kind = "vfio";
  readonly description = "this machine's devices through VFIO";

  functions(): RawPciFunction[] {
    return readSysfs();
  }

  openAddressSpace(): NativeAddressSpace {
    return addon().openVfioAddressSpace();
  }

  traffic(): null {
    return null;
  }

  close(): void {
    // sysfs needs no closing.
  }
}
