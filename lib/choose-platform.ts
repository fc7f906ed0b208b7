import { addon } from "./addon.js";
import { P2pError } from "./errors.js";
import { parseBdf } from "./pci/bdf.js";
import { PciTree } from "./pci/tree.js";
import type { Platform } from "./platform.js";
import { LoopbackPlatform } from "./platform/loopback.js";
import { builtinMachines, MachineFile } from "./platform/machine-file.js";
import { VfioPlatform } from "./platform/vfio.js";

export interface PlatformOptions {
  /** `auto`, the default: see {@link choosePlatform}. */
  platform?: "auto" | "vfio" | "loopback";
  /** The loopback machine: a file, or the name of a built-in one; `default` without it. */
  machine?: string;
  /** The PCI addresses that the job names. */
  devices?: readonly string[];
}

/**
 * The machine to work on, and the reason in words. `auto` takes the machine that has the named
 * devices, the real one first, since whoever has such a device means that one; with none named it
 * takes loopback, unless two or more NVMe devices are bound to VFIO.
 *
 * Errors: UNKNOWN_DEVICE, BAD_ENDPOINT, BAD_ARGUMENT, BAD_MACHINE_FILE, ADDON_MISSING.
 */
export function choosePlatform(options: PlatformOptions): { platform: Platform; reason: string } {
  const { platform: wanted = "auto", machine } = options;
  const named = (options.devices ?? []).map(parseBdf);
  if (wanted === "vfio") {
    if (machine !== undefined)
      throw new P2pError(
        "BAD_ARGUMENT",
        "a machine file is for the loopback platform, not for vfio",
      );
    return { platform: new VfioPlatform(), reason: "as asked" };
  }
  if (wanted === "loopback") return { platform: openLoopback(machine), reason: "as asked" };
  if (machine !== undefined)
    return { platform: openLoopback(machine), reason: "since a machine was named" };

  const real = new VfioPlatform();
  let tree: PciTree;
  try {
    tree = new PciTree(real.topology());
  } catch (error) {
    if (!(error instanceof P2pError) || named.length > 0) throw error;
    // A sandbox may hide parts of sysfs; nobody asked for this machine.
    return {
      platform: openLoopback(),
      reason: `since this machine cannot be read: ${error.message}`,
    };
  }
  if (named.length === 0) {
    const owned = tree.functions.filter(({ isNvme, isOwnedByVfio }) => isNvme && isOwnedByVfio);
    if (owned.length >= 2)
      return { platform: real, reason: `since ${owned.length} NVMe devices are bound to VFIO` };
    return { platform: openLoopback(), reason: "since no two NVMe devices are bound to VFIO" };
  }
  const missing = named.find((address) => !tree.has(address));
  if (missing === undefined)
    return { platform: real, reason: "since the named devices are in this machine" };
  const loopback = openLoopback();
  const simulated = new PciTree(loopback.topology());
  if (named.every((address) => simulated.has(address)))
    return { platform: loopback, reason: "since the named devices are the loopback machine's" };
  loopback.close();
  const unknown = named.find((address) => !tree.has(address) && !simulated.has(address)) ?? missing;
  throw new P2pError(
    "UNKNOWN_DEVICE",
    `there is no PCI device ${unknown}, neither in this machine nor in the loopback machine`,
    { device: unknown, hint: "p2pmem topology shows the devices" },
  );
}

function openLoopback(machine = "default"): LoopbackPlatform {
  addon(); // its absence is the first thing to say
  if (Object.hasOwn(builtinMachines, machine))
    return new LoopbackPlatform(builtinMachines[machine as keyof typeof builtinMachines]);
  const file = new MachineFile(machine);
  try {
    return new LoopbackPlatform(file.configuration);
  } catch (error) {
    throw file.explain(error);
  }
}
