import { addon } from "./addon.js";
import { P2pError } from "./errors.js";
import { parseBdf } from "./pci/bdf.js";
import { PciTree } from "./pci/tree.js";
import type { Platform } from "./platform.js";
import { LoopbackPlatform } from "./platform/loopback.js";
import { VfioPlatform } from "./platform/vfio.js";

export interface PlatformOptions {
  /** `auto`, the default: see {@link choosePlatform}. */
  platform?: "auto" | "vfio" | "loopback";
  /** The loopback machine: a file, or the name of a built-in one; `default` without it. */
  machine?: string;
  /** The PCI addresses that the job names. */
  devices?: readonly string[];
  /** `auto` takes this machine if it has any PCI function, whoever drives it. */
  looksOnly?: boolean;
}

/** The machine to work on, what is in it, and the reason in words. */
export interface ChosenPlatform {
  platform: Platform;
  pci: PciTree;
  reason: string;
}

/**
 * The machine to work on. `auto` takes the machine that has the named devices, the real one first,
 * since whoever has such a device means that one; with none named it takes loopback, unless two or
 * more NVMe devices are bound to VFIO, or a job only looks.
 *
 * Errors: UNKNOWN_DEVICE, BAD_ENDPOINT, BAD_ARGUMENT, BAD_MACHINE_FILE, ADDON_MISSING.
 */
export async function choosePlatform(options: PlatformOptions): Promise<ChosenPlatform> {
  const { platform: wanted = "auto", machine, looksOnly = false } = options;
  const named = (options.devices ?? []).map(parseBdf);
  if (wanted === "vfio") {
    if (machine !== undefined)
      throw new P2pError(
        "BAD_ARGUMENT",
        "a machine file is for the loopback platform, not for vfio",
      );
    return chosen(new VfioPlatform(), "as asked");
  }
  if (wanted === "loopback") return chosen(await openLoopback(machine), "as asked");
  if (machine !== undefined)
    return chosen(await openLoopback(machine), "since a machine was named");

  const real = new VfioPlatform();
  let pci: PciTree;
  try {
    pci = new PciTree(real.topology());
  } catch (error) {
    if (!(error instanceof P2pError) || named.length > 0) throw error;
    // A sandbox may hide parts of sysfs; nobody asked for this machine.
    return chosen(await openLoopback(), `since this machine cannot be read: ${error.message}`);
  }
  const takeReal = (reason: string): ChosenPlatform => ({ platform: real, pci, reason });
  if (named.length === 0) {
    if (looksOnly)
      return pci.functions.length > 0
        ? takeReal("since nothing else was named")
        : chosen(await openLoopback(), "since this machine shows no PCI devices");
    const owned = pci.functions.filter(({ isNvme, isOwnedByVfio }) => isNvme && isOwnedByVfio);
    return owned.length >= 2
      ? takeReal(`since ${owned.length} NVMe devices are bound to VFIO`)
      : chosen(await openLoopback(), "since no two NVMe devices are bound to VFIO");
  }
  const missing = named.find((address) => !pci.has(address));
  if (missing === undefined) return takeReal("since the named devices are in this machine");
  const loopback = chosen(
    await openLoopback(),
    "since the named devices are the loopback machine's",
  );
  if (named.every((address) => loopback.pci.has(address))) return loopback;
  loopback.platform.close();
  const unknown =
    named.find((address) => !pci.has(address) && !loopback.pci.has(address)) ?? missing;
  throw new P2pError(
    "UNKNOWN_DEVICE",
    `there is no PCI device ${unknown}, neither in this machine nor in the loopback machine`,
    { device: unknown, hint: "p2pmem topology shows the devices" },
  );
}

function chosen(platform: Platform, reason: string): ChosenPlatform {
  return { platform, pci: new PciTree(platform.topology()), reason };
}

async function openLoopback(machine = "default"): Promise<LoopbackPlatform> {
  addon(); // its absence is the first thing to say
  // Only here: the schema of machines is half of what the command would load, and a real machine needs
  // none of it, nor a built-in one what reads files.
  const { builtinMachines } = await import("./platform/machine-schema.js");
  if (Object.hasOwn(builtinMachines, machine))
    return new LoopbackPlatform(builtinMachines[machine as keyof typeof builtinMachines]);
  const { MachineFile } = await import("./platform/machine-file.js");
  const file = new MachineFile(machine);
  try {
    return new LoopbackPlatform(file.configuration);
  } catch (error) {
    throw file.explain(error);
  }
}
