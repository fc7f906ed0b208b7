import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { type Host, pciPath } from "./host.js";
import { type EarlierBinding, recordPath, recordText } from "./record.js";

/**
 * One change to the host or one look at its effect; the sysfs attributes are those of
 * Documentation/ABI/testing/sysfs-bus-pci.
 */
export interface Step {
  /** The same as a shell command that fails where this throws. */
  readonly shell: string;
  run(): void;
  /** Takes back what run() changed, where it changed something. */
  undo?(): void;
}

export const VFIO_PCI = "vfio-pci";
const DRIVERS = "/sys/bus/pci/drivers";
const PROBE = "/sys/bus/pci/drivers_probe";

export function hasDriver(host: Host, driver: string): boolean {
  return host.exists(`${DRIVERS}/${driver}`);
}

/** The driver that the kernel must choose; null where it is free to. */
export function driverOverride(host: Host, address: Bdf): string | null {
  const value = host.read(pciPath(address, "driver_override"));
  return value === null || value === "" || value === "(null)" ? null : value;
}

export function currentDriver(host: Host, address: Bdf): string | null {
  return host.linkName(pciPath(address, "driver"));
}

/** Errors: NO_VFIO. */
export function loadVfio(host: Host): Step {
  return {
    shell: `modprobe ${VFIO_PCI}`,
    run: () => {
      modprobe(host, VFIO_PCI);
    },
  };
}

/** Errors: NO_VFIO, also where only `--dry-run` is asked for. */
export function modprobe(host: Host, ...words: string[]): void {
  const { status, stderr } = host.run("modprobe", ...words);
  if (status === 0) return;
  const reason = stderr.split("\n")[0] ?? "";
  throw new P2pError("NO_VFIO", `modprobe ${words.join(" ")} failed: ${reason}`, {
    hint: "install the kernel's modules, or boot a kernel that has CONFIG_VFIO_PCI",
  });
}

/** Writes down what the device has now, for unbind. */
export function remember(host: Host, address: Bdf, earlier: EarlierBinding): Step {
  const path = recordPath(address);
  const text = recordText(host, address, earlier);
  const before = host.read(path);
  return {
    shell: `mkdir -p ${path.slice(0, path.lastIndexOf("/"))} && echo '${text}' >${path}`,
    run: () => host.createFile(path, `${text}\n`),
    undo: () => (before === null ? host.remove(path) : host.createFile(path, `${before}\n`)),
  };
}

export function forget(host: Host, address: Bdf): Step {
  const path = recordPath(address);
  return { shell: `rm -f ${path}`, run: () => host.remove(path) };
}

/** Takes the device from the driver that it has now. */
export function detach(host: Host, address: Bdf): Step {
  const driver = currentDriver(host, address);
  const path = pciPath(address, "driver/unbind");
  return {
    shell: `echo ${address} >${path}`,
    run: () => host.write(path, address),
    undo: () => {
      if (driver !== null && currentDriver(host, address) !== driver)
        host.write(`${DRIVERS}/${driver}/bind`, address);
    },
  };
}

export function override(host: Host, address: Bdf, driver: string | null): Step {
  const path = pciPath(address, "driver_override");
  const before = driverOverride(host, address);
  // An empty line takes it away.
  const set = (name: string | null): void => host.write(path, `${name ?? ""}\n`);
  return {
    shell: `echo ${driver ?? ""} >${path}`.replace("  ", " "),
    run: () => set(driver),
    undo: () => set(before),
  };
}

/** Lets the kernel choose among its drivers; driver_override decides where it is set. */
export function probe(host: Host, address: Bdf): Step {
  return {
    shell: `echo ${address} >${PROBE}`,
    run: () => host.write(PROBE, address),
    undo: () => {
      if (currentDriver(host, address) !== null) detach(host, address).run();
    },
  };
}

/** Errors: BIND_FAILED, since the kernel's write succeeds whatever a driver says. */
export function expectDriver(host: Host, address: Bdf, driver: string, hint: string): Step {
  return {
    shell: `[ "$(basename "$(readlink ${pciPath(address, "driver")})")" = ${driver} ]`,
    run: () => {
      const found = currentDriver(host, address);
      if (found === driver) return;
      const instead = found === null ? "it has none" : `it has ${found}`;
      throw new P2pError("BIND_FAILED", `${address} did not get the driver ${driver}: ${instead}`, {
        device: address,
        hint,
      });
    },
  };
}
