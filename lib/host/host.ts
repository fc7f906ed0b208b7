import { spawnSync } from "node:child_process";
import {
  accessSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { release } from "node:os";
import { basename, join, relative } from "node:path";
import { addon, type NativeAddon } from "../addon.js";
import { PciTree } from "../pci/tree.js";
import type { CpuIdentity } from "../platform.js";
import { readCpu, readTopology } from "../platform/sysfs.js";

/** A device file's kind and its major and minor number: `b259:0` for a disk, `c195:0`. */
export type DeviceNumber = `${"b" | "c"}${string}:${string}`;

/** How a program ended; `status` null where it could not be run. */
export interface ProgramResult {
  status: number | null;
  stdout: string;
  stderr: string;
}

/**
 * This host as the kernel shows it, in sysfs, procfs and device files, and as it lets itself be
 * changed. Every path is one of the host's, such as `/sys/bus/pci`; `root` is where that begins.
 */
export class Host {
  readonly root: string;

  constructor(root = "/") {
    this.root = root;
  }

  /** Trailing white space removed; null where it cannot be read. */
  read(path: string): string | null {
    return this.readBytes(path)?.toString("utf8").trimEnd() ?? null;
  }

  readBytes(path: string): Buffer | null {
    try {
      return readFileSync(this.#at(path));
    } catch {
      return null;
    }
  }

  /** The names in a directory, sorted; none where there is no such directory. */
  list(path: string): string[] {
    try {
      return readdirSync(this.#at(path)).sort();
    } catch {
      return [];
    }
  }

  /** The directories in a directory, without symbolic links: in sysfs, what is really below it. */
  directories(path: string): string[] {
    try {
      const entries = readdirSync(this.#at(path), { withFileTypes: true });
      return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    } catch {
      return [];
    }
  }

  exists(path: string): boolean {
    return existsSync(this.#at(path));
  }

  /** What a symbolic link holds; null where there is none. */
  readLink(path: string): string | null {
    try {
      return readlinkSync(this.#at(path));
    } catch {
      return null;
    }
  }

  /** The last name of what a symbolic link holds, as the driver's of `…/driver`. */
  linkName(path: string): string | null {
    const target = this.readLink(path);
    return target === null ? null : basename(target);
  }

  /** The path without symbolic links; null where it leads nowhere. */
  realPath(path: string): string | null {
    try {
      return join("/", relative(realpathSync(this.root), realpathSync(this.#at(path))));
    } catch {
      return null;
    }
  }

  /** Opens a file and closes it again: null, or the errno's name, such as `EBUSY`. */
  tryOpen(path: string, flags: number): string | null {
    try {
      closeSync(openSync(this.#at(path), flags | constants.O_NONBLOCK));
      return null;
    } catch (error) {
      return errnoName(error);
    }
  }

  /** Whether the current user may read and write a file: null, or the errno's name. */
  accessProblem(path: string): string | null {
    try {
      accessSync(this.#at(path), constants.R_OK | constants.W_OK);
      return null;
    } catch (error) {
      return errnoName(error);
    }
  }

  /**
   * The device that a file stands for, whatever the file's name; null where it stands for none.
   * Follows symbolic links, also those of proc_pid_fd(5), which lead into any mount namespace.
   */
  deviceNumber(path: string): DeviceNumber | null {
    try {
      const stats = statSync(this.#at(path), { bigint: true });
      if (!stats.isBlockDevice() && !stats.isCharacterDevice()) return null;
      return `${stats.isBlockDevice() ? "b" : "c"}${majorOf(stats.rdev)}:${minorOf(stats.rdev)}`;
    } catch {
      return null;
    }
  }

  /** The device that a file is on; of some file systems (btrfs, overlay) one that nothing shows. */
  deviceNumberBelow(path: string): DeviceNumber | null {
    try {
      const { dev } = statSync(this.#at(path), { bigint: true });
      return `b${majorOf(dev)}:${minorOf(dev)}`;
    } catch {
      return null;
    }
  }

  ownerOf(path: string): number {
    return statSync(this.#at(path)).uid;
  }

  /** The PCI functions as they are now. */
  pci(): PciTree {
    return new PciTree(readTopology(this.root));
  }

  /** Null where it is not known. */
  cpu(): CpuIdentity | null {
    return readCpu(this.root);
  }

  /** The effective user. */
  get uid(): number {
    return process.geteuid?.() ?? 0;
  }

  /** As `uname -r` says it. */
  get kernelRelease(): string {
    return release();
  }

  /** Without the leading v. */
  get nodeVersion(): string {
    return process.versions.node;
  }

  /** Errors: ADDON_MISSING. */
  addon(): NativeAddon {
    return addon();
  }

  /** One write(2) to an attribute that exists; the kernel acts before it returns. */
  write(path: string, text: string): void {
    // Neither truncated nor created, and not opened for reading, which some attributes refuse.
    const fd = openSync(this.#at(path), constants.O_WRONLY);
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  }

  /** A file of p2pmem's own, and the directories above it. */
  createFile(path: string, text: string): void {
    mkdirSync(join(this.#at(path), ".."), { recursive: true });
    writeFileSync(this.#at(path), text);
  }

  remove(path: string): void {
    rmSync(this.#at(path), { force: true });
  }

  /** The group stays what it is. */
  chown(path: string, uid: number): void {
    chownSync(this.#at(path), uid, -1);
  }

  run(program: string, ...args: string[]): ProgramResult {
    const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
    if (error !== undefined) return { status: null, stdout: "", stderr: error.message };
    return { status, stdout: stdout.trimEnd(), stderr: stderr.trimEnd() };
  }

  #at(path: string): string {
    return join(this.root, path);
  }
}

/** makedev(3): glibc puts 32 bits of each into 64. */
function majorOf(rdev: bigint): bigint {
  return ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
}

function minorOf(rdev: bigint): bigint {
  return (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
}

function errnoName(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

/** A file or directory of a PCI function. */
export function pciPath(address: string, ...below: string[]): string {
  return join("/sys/bus/pci/devices", address, ...below);
}

/** The file by which a process has an IOMMU group. */
export function groupFile(group: number): string {
  return `/dev/vfio/${group}`;
}
