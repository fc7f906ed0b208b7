/** A block device or a file, open with O_DIRECT for the kernel's own driver. */
import { closeSync, constants, openSync, statSync, type BigIntStats } from "node:fs";
import { P2pError } from "../errors.js";
import { devicesOf } from "../host/kernel-devices.js";
import type { DeviceNumber, Host } from "../host/host.js";
import type { PciFunction } from "../pci/function.js";
import type { PciTree } from "../pci/tree.js";
import { tryAll } from "../try-all.js";
import type { KernelEndpoint } from "./endpoint.js";
import { diskPlace, disksBelow, SECTOR, type DiskPlace } from "./disks.js";
import { assertUnused } from "./unused.js";

/** What a file is aligned to where nothing says what is below it. */
const UNKNOWN_BLOCK = 4096;

export interface KernelTarget {
  endpoint: KernelEndpoint;
  fd: number;
  /** Bytes. */
  size: number;
  /** Offsets, lengths and memory are to be multiples of this. */
  blockSize: number;
  /** A block device; else a file, whose file system may do reads and writes its own way. */
  isDisk: boolean;
  /** The same for all names of one device or file. */
  identity: string;
  /** Where it lies, or of a file its file system; null where nothing shows it. */
  place: DiskPlace | null;
  /** The disks that its data end up on; empty where nothing shows them. */
  disks: ReadonlySet<string>;
  /** The NVMe controllers that it is reached by; empty: not known, or another kind of device. */
  clients: PciFunction[];
  /** What of it makes figures doubtful. */
  notes: string[];
  close(): void;
}

/**
 * Opens it for reading, or for both: then nobody else may use a block device, and it is claimed until
 * close(). A file must be there: none is created, and none grows. `claimed`: the identities of those
 * that the caller has claimed already, to which this one's is added.
 *
 * Errors: BAD_ENDPOINT, PERMISSION, IN_USE, UNSUPPORTED, IO.
 */
export async function openTarget(
  host: Host,
  tree: PciTree,
  endpoint: KernelEndpoint,
  isWritten: boolean,
  claimed: Set<string>,
): Promise<KernelTarget> {
  const { file } = endpoint;
  const stats = statOf(file);
  const ownNumber = host.deviceNumber(file);
  const isDisk = stats.isBlockDevice();
  if (!isDisk && !stats.isFile())
    throw new P2pError("BAD_ENDPOINT", `${file} is neither a block device nor a file`, {
      hint: "name a namespace as /dev/nvmeXnY (not the controller, /dev/nvmeX), or file:PATH",
    });
  const number = isDisk ? ownNumber : host.deviceNumberBelow(file);
  const identity = isDisk ? String(number) : `${stats.dev}:${stats.ino}`;
  const opened: number[] = [];
  const close = (): void => {
    tryAll(
      opened.splice(0).map((fd) => () => {
        closeSync(fd);
      }),
    );
  };
  try {
    if (isDisk && isWritten && !claimed.has(identity)) {
      await assertUnused(host, file, number);
      // A descriptor of its own, which no ring ever has: the claim ends when it is closed.
      opened.push(openFile(file, constants.O_RDONLY | constants.O_EXCL));
      claimed.add(identity);
    }
    const access = isWritten ? constants.O_RDWR : constants.O_RDONLY;
    const fd = openFile(file, access | constants.O_DIRECT);
    opened.push(fd);
    const size = isDisk ? diskSize(host, file, number) : Number(stats.size);
    return {
      ...{ endpoint, fd, size, isDisk, identity, close },
      place: number !== null ? diskPlace(host, number) : null,
      disks: number === null ? new Set() : disksBelow(host, number),
      blockSize: blockSizeOf(host, number) ?? UNKNOWN_BLOCK,
      clients: number === null ? [] : clientsOf(host, tree, number),
      notes: isDisk ? [] : fileNotes(file, stats),
    };
  } catch (error) {
    close();
    throw error;
  }
}

function statOf(file: string): BigIntStats {
  try {
    return statSync(file, { bigint: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES") throw refused(file, error);
    throw new P2pError("BAD_ENDPOINT", `there is no ${file}`, {
      hint: "lsblk lists the block devices; files are not created: make one of the wanted size",
    });
  }
}

function openFile(file: string, flags: number): number {
  try {
    return openSync(file, flags);
  } catch (error) {
    throw refused(file, error);
  }
}

function refused(file: string, error: unknown): P2pError {
  const { code = "", syscall = "open", errno = 0 } = error as NodeJS.ErrnoException;
  const details = { syscall, errno: -errno };
  if (code === "EACCES" || code === "EPERM")
    return new P2pError("PERMISSION", `${file} cannot be opened: ${code}`, {
      ...details,
      hint: "run it as root, or as a user that may read and write it",
    });
  if (code === "EBUSY" || code === "ETXTBSY")
    return new P2pError("IN_USE", `${file} is not written: it is in use (${code})`, {
      ...details,
      hint: "it is mounted, swap space, part of a volume, or a program has claimed it",
    });
  if (code === "EINVAL")
    return new P2pError("UNSUPPORTED", `the file system of ${file} has no O_DIRECT`, {
      ...details,
      hint: "use one on a disk (ext4, xfs); tmpfs has it from Linux 6.6 on, without a device",
    });
  return new P2pError("IO", `${file} cannot be opened: ${code}`, details);
}

function diskSize(host: Host, file: string, number: DeviceNumber | null): number {
  const sectors = number === null ? null : host.read(`/sys/dev/block/${number.slice(1)}/size`);
  if (sectors === null) throw new P2pError("IO", `the size of ${file} is not in sysfs`);
  return Number(sectors) * SECTOR;
}

/** A partition's are those of its disk. */
function blockSizeOf(host: Host, number: DeviceNumber | null): number | null {
  const path = number === null ? null : host.realPath(`/sys/dev/block/${number.slice(1)}`);
  if (path === null) return null;
  const read = (folder: string): string | null => host.read(`${folder}/queue/logical_block_size`);
  const size = read(path) ?? read(`${path}/..`);
  return size === null ? null : Number(size);
}

/** The NVMe controllers that a block device or file is reached by. Errors: BAD_ENDPOINT, PERMISSION. */
export function kernelClients(host: Host, tree: PciTree, file: string): PciFunction[] {
  const isDisk = statOf(file).isBlockDevice();
  const number = isDisk ? host.deviceNumber(file) : host.deviceNumberBelow(file);
  return number === null ? [] : clientsOf(host, tree, number);
}

/** With NVMe native multipath, all controllers of the subsystem. */
function clientsOf(host: Host, tree: PciTree, number: DeviceNumber): PciFunction[] {
  return tree.functions.filter(
    (fn) => fn.isNvme && devicesOf(host, fn.address).some((device) => device.number === number),
  );
}

function fileNotes(file: string, { size, blocks }: BigIntStats): string[] {
  if (blocks * BigInt(SECTOR) >= size) return [];
  return [`${file} has holes: reads of them reach no device`];
}
