import type { NativeDevice } from "../addon.js";
import { P2pError } from "../errors.js";

/**
 * Calls `listener` with a DEVICE_ERROR when the device has reported an uncorrectable error (PCIe base
 * §6.2). Of conventional PCI devices older kernels hear none, and it is never called.
 */
export function onDeviceError(device: NativeDevice, listener: (error: P2pError) => void): void {
  const { address } = device;
  try {
    device.onError(() => {
      listener(
        new P2pError("DEVICE_ERROR", `the kernel reports an uncorrectable error of ${address}`, {
          device: address,
          hint: "look at its log: dmesg; a reset may bring the device back",
        }),
      );
    });
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "UNSUPPORTED") throw error;
  }
}
