import { addon, type NativeAddressSpace } from "../addon.js";
import type { Platform, RawTopology } from "../platform.js";
import type { NativeRdmaDevice } from "../rdma-addon.js";
import { readRdmaAddress, readTopology } from "./sysfs.js";

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

  rdmaDevices(): { name: string; address: string | null }[] {
    return addon()
      .verbsDevices()
      .map((name) => ({ name, address: readRdmaAddress(name) }));
  }

  openRdmaDevice(name: string): NativeRdmaDevice {
    return addon().openVerbsDevice(name);
  }

  close(): void {
    // sysfs needs no closing.
  }
}
