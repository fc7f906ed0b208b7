import { addon, type NativeAddressSpace } from "../addon.js";
import type { Platform, RawTopology } from "../platform.js";
import { readTopology } from "./sysfs.js";

/** This machine, its devices owned through the kernel's VFIO. */
export class VfioPlatform implements Platform {
  readonly kind = "vfio";
  readonly description = "this machine's devices through VFIO";

  topology(): RawTopology {
    return readTopology();
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
