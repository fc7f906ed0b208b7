import { addon } from "../addon.js";
import { P2pError } from "../errors.js";
import type { GlobalOptions } from "./options.js";

/** The built-in machine with a NIC. */
const MACHINE = "rdma";

/**
 * The options, with the machine that they mean where `auto` leaves it open: this one if it has RDMA
 * devices (the named one among them), else the loopback machine that has a NIC. `host`: of another machine,
 * which no built-in one reaches.
 */
export function withRdmaMachine<Options extends GlobalOptions & { ibDev?: string }>(
  options: Options,
  host?: string,
): Options {
  const { platform, machine, ibDev } = options;
  if (machine !== undefined || platform === "vfio") return options;
  const isHere = platform === "auto" && (host !== undefined || hasDevice(ibDev));
  return isHere ? { ...options, platform: "vfio" } : { ...options, machine: MACHINE };
}

function hasDevice(name: string | undefined): boolean {
  try {
    const names = addon().verbsDevices();
    return name === undefined ? names.length > 0 : names.includes(name);
  } catch (error) {
    if (error instanceof P2pError && error.code === "NO_VERBS") return false;
    throw error;
  }
}
