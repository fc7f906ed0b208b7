/** Which disks a block device or a file lies on, as sysfs shows it (Documentation/ABI/stable/sysfs-block). */
import { diskDevices, type KernelDevice } from "../host/kernel-devices.js";
import type { DeviceNumber, Host } from "../host/host.js";

/** Bytes of a sector in sysfs, whatever the device's blocks. */
export const SECTOR = 512;

/** Where bytes of one block device are on the disk that it is a part of. */
export interface DiskPlace {
  /** The disk: `8:0`. */
  disk: string;
  /** Bytes from the begin of the disk to that of the device. */
  start: number;
  /** Bytes of the device. */
  length: number;
}

/** Of a partition its part of the disk, of a disk all of itself; null where sysfs does not show it. */
export function diskPlace(host: Host, number: DeviceNumber): DiskPlace | null {
  const path = host.realPath(sysfsPath(number));
  if (path === null) return null;
  const isPartition = host.exists(`${path}/partition`);
  const disk = isPartition ? host.read(`${path}/../dev`) : number.slice(1);
  const start = isPartition ? host.read(`${path}/start`) : "0";
  const size = host.read(`${path}/size`);
  if (disk === null || start === null || size === null) return null;
  return { disk, start: Number(start) * SECTOR, length: Number(size) * SECTOR };
}

/** The disks that the device's bytes end up on: its own, or those below a volume. */
export function disksBelow(host: Host, number: DeviceNumber): Set<string> {
  const path = host.realPath(sysfsPath(number));
  const slaves = path === null ? [] : host.list(`${path}/slaves`);
  const numbers = slaves.flatMap((name) => host.read(`${path}/slaves/${name}/dev`) ?? []);
  if (numbers.length > 0)
    return new Set(numbers.flatMap((each) => [...disksBelow(host, `b${each}` as DeviceNumber)]));
  return new Set([diskPlace(host, number)?.disk ?? number.slice(1)]);
}

/** The disk that a partition is a part of; null where the device is none. */
export function wholeDisk(host: Host, number: DeviceNumber): KernelDevice | null {
  const place = diskPlace(host, number);
  if (place === null || place.disk === number.slice(1)) return null;
  return diskDevices(host, `b${place.disk}` as DeviceNumber)[0] ?? null;
}

function sysfsPath(number: DeviceNumber): string {
  return `/sys/dev/block/${number.slice(1)}`;
}
