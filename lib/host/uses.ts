import { constants } from "node:fs";
import type { Bdf } from "../pci/bdf.js";
import { type Host, pciPath } from "./host.js";
import { IFF_UP } from "./spec.js";

/** What must hold before a driver may lose a device: as a shell would ask, and what was found. */
export interface Condition {
  /** A command that succeeds where it holds. */
  readonly shell: string;
  /** What contradicts it, in words; null where it holds. */
  readonly violation: string | null;
}

/** A device that the kernel's drivers made of a PCI function: a disk, a network interface. */
interface KernelDevice {
  readonly name: string;
  /** `block`, `net`, `drm` and so on. */
  readonly subsystem: string;
  readonly path: string;
  /** Its file, `/dev/nvme0n1`; null where it has none. */
  readonly file: string | null;
}

/**
 * The conditions under which nothing on this host uses a PCI function, whatever kind of device it
 * is: everything below it in sysfs is looked at. `openFiles`: see openDeviceFiles().
 */
export function unusedConditions(
  host: Host,
  address: Bdf,
  openFiles: ReadonlyMap<string, string[]>,
): Condition[] {
  const devices = devicesOf(host, address);
  const isBlock = ({ subsystem }: KernelDevice): boolean => subsystem === "block";
  const conditions = [
    ...functionConditions(host, address),
    ...devices.filter(isBlock).flatMap((device) => blockConditions(host, device)),
    ...devices.flatMap((device) => otherConditions(host, device)),
    ...openConditions(devices, openFiles),
  ];
  // A mount, a holder or swap explains a device that is held exclusively, or whose partition is.
  const isExplained = conditions.some(({ violation }) => violation !== null);
  const exclusive = devices.filter(isBlock).flatMap((device) => exclusiveCondition(host, device));
  return [
    ...conditions,
    ...exclusive.map((condition) => (isExplained ? { ...condition, violation: null } : condition)),
  ];
}

/** What the function's own attributes say. */
function functionConditions(host: Host, address: Bdf): Condition[] {
  const attribute = (name: string, meaning: (value: number) => string): Condition[] => {
    const path = pciPath(address, name);
    const value = host.read(path);
    if (value === null) return [];
    return [
      { shell: `grep -qx 0 ${path}`, violation: value === "0" ? null : meaning(Number(value)) },
    ];
  };
  return [
    ...attribute("boot_vga", () => "it is the display that the machine booted with"),
    ...attribute("sriov_numvfs", (count) => `${count} of its virtual functions (SR-IOV) are on`),
  ];
}

function blockConditions(host: Host, { file, path }: KernelDevice): Condition[] {
  // The paths of NVMe native multipath are hidden block devices without a file.
  const number = host.read(`${path}/dev`);
  if (file === null || number === null) return [];
  const mounts = mountPoints(host, number, file);
  const swaps = (host.read("/proc/swaps") ?? "").split("\n");
  const isSwap = swaps.some((line) => line.split(/\s/)[0] === file);
  const holders = host.list(`${path}/holders`);
  const loops = host
    .list("/sys/block")
    .filter((name) => host.read(`/sys/block/${name}/loop/backing_file`) === file);
  return [
    {
      shell: `! grep -q -e ' ${number} ' -e ' ${file} ' /proc/self/mountinfo`,
      violation: mounts.length > 0 ? `${file} is mounted on ${mounts.join(", ")}` : null,
    },
    {
      shell: `! grep -q '^${file}[[:space:]]' /proc/swaps`,
      violation: isSwap ? `${file} is swap space` : null,
    },
    {
      shell: `[ -z "$(ls ${path}/holders)" ]`,
      violation: holders.length > 0 ? `${file} is held by ${holders.join(", ")}` : null,
    },
    {
      shell: `! grep -qsx ${file} /sys/block/loop*/loop/backing_file`,
      violation: loops.length > 0 ? `${file} is behind ${loops.join(", ")}` : null,
    },
  ];
}

/**
 * proc_pid_mountinfo(5): the third field is the device's number; file systems on several devices
 * (btrfs) have an anonymous one there, and name one of the devices as the source.
 */
function mountPoints(host: Host, number: string, file: string): string[] {
  return (host.read("/proc/self/mountinfo") ?? "").split("\n").flatMap((line) => {
    const [mount = "", source = ""] = line.split(" - ");
    const [, , device, , point = ""] = mount.split(" ");
    return device === number || source.split(" ")[1] === file ? [unescapeOctal(point)] : [];
  });
}

function unescapeOctal(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, code: string) =>
    String.fromCharCode(Number.parseInt(code, 8)),
  );
}

/**
 * open(2) with O_EXCL is refused while a block device is mounted (in any namespace), swapped to,
 * part of a volume, or in the hands of a program that asked the same.
 */
function exclusiveCondition(host: Host, { file }: KernelDevice): Condition[] {
  if (file === null) return [];
  return [
    {
      shell: `node -e 'fs.closeSync(fs.openSync("${file}", fs.constants.O_EXCL))'`,
      violation: exclusiveUse(host, file),
    },
  ];
}

function exclusiveUse(host: Host, file: string): string | null {
  const code = host.tryOpen(file, constants.O_RDONLY | constants.O_EXCL);
  if (code === "EBUSY")
    return `${file} is held exclusively, by a file system, a volume manager or a program`;
  const isUnknown = code === "ENOENT" || code === "EACCES" || code === "EPERM";
  // Only a dry run goes on without root, which leaves the question to who runs the commands.
  if (isUnknown && host.uid === 0) return `whether ${file} is in use cannot be seen (${code})`;
  return null;
}

function otherConditions(host: Host, { name, subsystem, path }: KernelDevice): Condition[] {
  if (subsystem === "net") {
    const isUp = (Number(host.read(`${path}/flags`)) & IFF_UP) !== 0;
    return [
      {
        shell: `[ $(($(cat ${path}/flags) & ${IFF_UP})) = 0 ]`,
        violation: isUp ? `network interface ${name} is up` : null,
      },
    ];
  }
  if (subsystem === "drm" && host.exists(`${path}/status`)) {
    const isConnected = host.read(`${path}/status`) === "connected";
    return [
      {
        shell: `! grep -qx connected ${path}/status`,
        violation: isConnected ? `a display is connected to ${name}` : null,
      },
    ];
  }
  if (subsystem === "graphics")
    return [{ shell: `[ ! -e ${path} ]`, violation: `it has the framebuffer ${name}` }];
  return [];
}

/** A program may have a device file open without O_EXCL: a database, a virtual machine. */
function openConditions(
  devices: readonly KernelDevice[],
  openFiles: ReadonlyMap<string, string[]>,
): Condition[] {
  return devices.flatMap(({ file }) => {
    if (file === null) return [];
    const found = openFiles.get(file);
    return [
      {
        shell: `! ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q ' -> ${file}$'`,
        violation: found === undefined ? null : `${file} is open in ${found.join(", ")}`,
      },
    ];
  });
}

/** Everything below the function, and what NVMe native multipath puts elsewhere. */
function devicesOf(host: Host, address: Bdf): KernelDevice[] {
  const path = host.realPath(pciPath(address));
  if (path === null) return [];
  const below = devicesBelow(host, path);
  const controllers = below.filter(({ subsystem }) => subsystem === "nvme");
  return [...below, ...controllers.flatMap(({ name }) => multipathHeads(host, name))];
}

function devicesBelow(host: Host, path: string): KernelDevice[] {
  return host.directories(path).flatMap((name) => {
    const below = `${path}/${name}`;
    const subsystem = host.linkName(`${below}/subsystem`);
    const device =
      subsystem === null ? [] : [{ name, subsystem, path: below, file: deviceFile(host, below) }];
    return [...device, ...devicesBelow(host, below)];
  });
}

function deviceFile(host: Host, path: string): string | null {
  const name = /^DEVNAME=(.*)$/m.exec(host.read(`${path}/uevent`) ?? "")?.[1];
  return name === undefined ? null : `/dev/${name}`;
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
