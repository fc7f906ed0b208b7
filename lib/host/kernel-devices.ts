import { basename } from "node:path";
import type { Bdf } from "../pci/bdf.js";
import { type DeviceNumber, type Host, pciPath } from "./host.js";

/** A device that the kernel's drivers made of a PCI function: a disk, a network interface. */
export interface KernelDevice {
  readonly name: string;
  /** `block`, `net`, `drm` and so on. */
  readonly subsystem: string;
  readonly path: string;
  /** Its file, `/dev/nvme0n1`; null where it has none. */
  readonly file: string | null;
  readonly number: DeviceNumber | null;
}

/** Everything below the function, and what NVMe native multipath puts elsewhere. */
export function devicesOf(host: Host, address: Bdf): KernelDevice[] {
  const path = host.realPath(pciPath(address));
  if (path === null) return [];
  const below = devicesBelow(host, path);
  const controllers = below.filter(({ subsystem }) => subsystem === "nvme");
  return [...below, ...controllers.flatMap(({ name }) => multipathHeads(host, name))];
}

/** A disk or a partition, and what is on it; none where sysfs does not show it. */
export function diskDevices(host: Host, number: DeviceNumber): KernelDevice[] {
  const path = host.realPath(`/sys/dev/block/${number.slice(1)}`);
  if (path === null) return [];
  return [kernelDevice(host, path, "block"), ...devicesBelow(host, path)].filter(
    ({ subsystem }) => subsystem === "block",
  );
}

function devicesBelow(host: Host, path: string): KernelDevice[] {
  return host.directories(path).flatMap((name) => {
    const below = `${path}/${name}`;
    const subsystem = host.linkName(`${below}/subsystem`);
    const device = subsystem === null ? [] : [kernelDevice(host, below, subsystem)];
    return [...device, ...devicesBelow(host, below)];
  });
}

function kernelDevice(host: Host, path: string, subsystem: string): KernelDevice {
  const file = /^DEVNAME=(.*)$/m.exec(host.read(`${path}/uevent`) ?? "")?.[1];
  const number = host.read(`${path}/dev`);
  return {
    ...{ name: basename(path), subsystem, path },
    file: file === undefined ? null : `/dev/${file}`,
    // Only disks and what is on them are block devices (Documentation/ABI/stable/sysfs-block).
    number:
      number === null ? null : (`${subsystem === "block" ? "b" : "c"}${number}` as DeviceNumber),
  };
}

/**
 * linux/drivers/nvme/host/multipath.c: the disk that users see (nvme0n1) belongs to the subsystem;
 * below the controller is only a path to it (nvme0c0n1). The subsystem links to its controllers.
 */
function multipathHeads(host: Host, controller: string): KernelDevice[] {
  const subsystems = "/sys/class/nvme-subsystem";
  return host.list(subsystems).flatMap((name) => {
    const path = host.realPath(`${subsystems}/${name}`);
    if (path === null || host.readLink(`${path}/${controller}`) === null) return [];
    return devicesBelow(host, path);
  });
}
