/** What the kernel tells of a device. Of some devices it cannot: their listeners are never called. */
import type { NativeDevice } from "../addon.js";
import { P2pError } from "../errors.js";

/**
 * Calls `listener` with a DEVICE_ERROR when the device has reported an uncorrectable error (PCIe base
 * §6.2). Of conventional PCI devices older kernels hear none.
 */
export function onDeviceError(device: NativeDevice, listener: (error: P2pError) => void): void {
  const { address } = device;
  listen(() => {
    device.onError(() => {
      listener(
        new P2pError("DEVICE_ERROR", `the kernel reports an uncorrectable error of ${address}`, {
          device: address,
          hint: "look at its log: dmesg; a reset may bring the device back",
        }),
      );
    });
  });
}

/** Calls `listener` when the kernel wants the device back, again and again until it is closed. */
export function onDeviceRequest(device: NativeDevice, listener: () => void): void {
  listen(() => {
    device.onRequest(listener);
  });
}

function listen(start: () => void): void {
  try {
    start();
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "UNSUPPORTED") throw error;
  }
}
