import { addon } from "../addon.js";
import { P2pError } from "../errors.js";
import type { GlobalOptions } from "./options.js";

/** The built-in machine with a NIC. */
const MACHINE = "rdma";

/**
 * The options, with the machine that they mean where `auto` leaves it open: this one if it has RDMA
 * devices, or if a device or another machine is named, which no built-in machine stands for; else the
 * loopback machine that has a NIC.
 */
export function withRdmaMachine<Options extends GlobalOptions & { ibDev?: string }>(
  options: Options,
  host?: string,
): Options {
  const { platform, machine, ibDev } = options;
  if (machine !== undefined || platform === "vfio") return options;
  const isNamed = host !== undefined || ibDev !== undefined;
  const isHere = platform === "auto" && (isNamed || hasDevices());
  return isHere ? { ...options, platform: "vfio" } : { ...options, machine: MACHINE };
}

function hasDevices(): boolean {
  try {
    return addon().verbsDevices().length > 0;
  } catch (error) {
    if (error instanceof P2pError && error.code === "NO_VERBS") return false;
    throw error;
  }
}
