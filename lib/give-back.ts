/** Giving devices back to the kernel, which asks for them and waits (unbind, hot-unplug). */
import { CONFIG_REGION, type NativeDevice } from "./addon.js";
import { P2pError } from "./errors.js";
import { onDeviceRequest } from "./pci/device-event.js";
import { PCI_CLASS_REVISION, PCI_NO_ANSWER } from "./pci/spec.js";
import { tryAllInTurn } from "./try-all.js";

/** What has to be done with a device, one after the other, and each even if one before it failed. */
export type GivingUp = Iterable<() => void | Promise<void>>;

/** The devices that the kernel asked for, until they are closed. */
export class GiveBack {
  readonly #underWay = new Map<string, Promise<void>>();

  /**
   * When the kernel wants `device`, takes the steps that lead to its closing; `error`, for what runs
   * on it: DEVICE_REQUESTED, or DEVICE_GONE. The kernel asks again and again; once is enough.
   */
  watch(device: NativeDevice, steps: (error: P2pError) => GivingUp): void {
    const { address } = device;
    onDeviceRequest(device, () => {
      if (this.#underWay.has(address)) return;
      const givingBack = tryAllInTurn(steps(reason(device))).finally(() => {
        this.#underWay.delete(address);
      });
      this.#underWay.set(address, givingBack);
      // What goes wrong shows in the kernel, which goes on waiting, and when the session is closed.
      givingBack.catch(() => undefined);
    });
  }

  /** Waits for what is under way. Errors: those of the steps. */
  finish(): Promise<void> {
    return tryAllInTurn([...this.#underWay.values()].map((givingBack) => () => givingBack));
  }
}

/** Errors: DEVICE_GONE. */
export function assertPresent(device: NativeDevice): void {
  const { address } = device;
  if (!answers(device))
    throw new P2pError("DEVICE_GONE", `${address} does not answer any more`, {
      device: address,
      hint: "look at the kernel's log: dmesg",
    });
}

/** Of a device that was pulled out the kernel wants it back, too. */
function reason(device: NativeDevice): P2pError {
  const { address } = device;
  try {
    assertPresent(device);
  } catch (error) {
    return error as P2pError;
  }
  return new P2pError("DEVICE_REQUESTED", `the kernel wants ${address} back`, {
    device: address,
    hint: "it is being unbound or unplugged; what ran on it has ended",
  });
}

/**
 * By a register that is read from the device each time: of its vendor and device ids VFIO keeps a
 * copy (linux/drivers/vfio/pci/vfio_pci_config.c, init_pci_cap_basic_perm, ALL_VIRT).
 */
function answers(device: NativeDevice): boolean {
  try {
    return device.region(CONFIG_REGION).read32(PCI_CLASS_REVISION) !== PCI_NO_ANSWER;
  } catch (error) {
    if (error instanceof P2pError && error.code === "DEVICE_GONE") return false;
    throw error;
  }
}
