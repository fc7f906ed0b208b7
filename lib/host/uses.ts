import { constants } from "node:fs";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { PCI_BASE_CLASS_NETWORK, PCI_BASE_CLASS_SHIFT } from "../pci/spec.js";
import type { Condition } from "./condition.js";
import { type DeviceNumber, type Host, pciPath } from "./host.js";
import { devicesOf, type KernelDevice } from "./kernel-devices.js";
import { nvidiaConditions } from "./nvidia.js";
import { notOpen, openDevices, type OpenDevices } from "./processes.js";
import { IFF_UP } from "./spec.js";
import { currentDriver } from "./steps.js";
import { targetConditions } from "./targets.js";
import { PCI_STUB } from "./viability.js";

/**
 * The conditions under which nothing on this host uses a PCI function, whatever kind of device it
 * is: everything below it in sysfs is looked at.
 */
export function unusedConditions(
  host: Host,
  fn: PciFunction,
  opened: OpenDevices = openDevices(host),
): Condition[] {
  const { address } = fn;
  const devices = devicesOf(host, address);
  const disks = devices.filter(({ subsystem }) => subsystem === "block");
  const conditions = [
    ...functionConditions(host, address),
    ...disks.flatMap((device) => blockConditions(host, device)),
    ...devices.flatMap((device) => otherConditions(host, device)),
    ...namespaceCondition(host, fn, devices),
    ...targetConditions(host, devices),
    ...openConditions(devices, opened),
    ...nvidiaConditions(host, address, opened),
  ];
  // A mount, a holder or swap explains a device that is held exclusively, or whose partition is.
  const isExplained = conditions.some(({ violation }) => violation !== null);
  const exclusive = disks.flatMap((device) => exclusiveCondition(host, device));
  return [
    ...conditions,
    ...exclusive.map((condition) => (isExplained ? { ...condition, violation: null } : condition)),
  ];
}

/** The same of disks and partitions alone, but for who has them open. */
export function diskConditions(host: Host, disks: readonly KernelDevice[]): Condition[] {
  return [
    ...disks.flatMap((disk) => blockConditions(host, disk)),
    ...disks.flatMap((disk) => exclusiveCondition(host, disk)),
  ];
}

/** That no program has these disks and partitions open, if only for reading. */
export function diskOpenConditions(host: Host, disks: readonly KernelDevice[]): Condition[] {
  const opened = openDevices(host);
  return openConditions(disks, opened);
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

function blockConditions(host: Host, device: KernelDevice): Condition[] {
  const { file, path } = device;
  // The paths of NVMe native multipath are hidden block devices without a file.
  if (file === null || device.number === null) return [];
  const number = device.number.slice(1);
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

/**
 * A network interface that was moved to another network namespace, a container's, is not shown
 * below its function (linux/net/core/net-sysfs.c). pci-stub makes none at all.
 */
function namespaceCondition(
  host: Host,
  { address, classCode }: PciFunction,
  devices: readonly KernelDevice[],
): Condition[] {
  const driver = currentDriver(host, address);
  if (classCode >>> PCI_BASE_CLASS_SHIFT !== PCI_BASE_CLASS_NETWORK) return [];
  if (driver === null || driver === PCI_STUB) return [];
  const isSeen = devices.some(({ subsystem }) => subsystem === "net");
  return [
    {
      shell: `find ${pciPath(address)}/ -path '*/net/*' -name ifindex | grep -q .`,
      violation: isSeen
        ? null
        : `the network interface that ${driver} made of it cannot be seen: ` +
          "it may be in another network namespace",
    },
  ];
}

/** A program may have a device open without O_EXCL: a database, a virtual machine. */
function openConditions(devices: readonly KernelDevice[], opened: OpenDevices): Condition[] {
  const numbers = new Map<string, DeviceNumber>();
  for (const { file, number } of devices) if (number !== null) numbers.set(file ?? number, number);
  return numbers.size === 0 ? [] : [notOpen(numbers, opened)];
}
