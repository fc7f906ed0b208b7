// The programs that the lab needs on the host, and how to get them on Debian.

import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";

import { LabError, capture, findProgram } from "./command.mjs";

/** Present only if it is linked statically: the guest's first process has no libraries yet. */
function staticBusybox() {
  const path = findProgram("busybox");
  if (path === undefined) return undefined;
  const head = Buffer.alloc(4096);
  const file = openSync(path, "r");
  readSync(file, head, 0, head.length, 0);
  closeSync(file);
  // A dynamic executable names its interpreter right behind its program headers.
  return head.includes("/ld-linux") ? undefined : path;
}

const FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin"];

const findFile = (path) => (existsSync(path) ? path : undefined);

/** Each Debian package with the test whether what it brings is already here. */
const NEEDED = [
  ["qemu-system-x86", () => findProgram("qemu-system-x86_64")],
  ["seabios", () => FIRMWARE.find((path) => existsSync(path))],
  ["busybox-static", staticBusybox],
  ["kmod", () => findProgram("depmod")],
  ["cpio", () => findProgram("cpio")],
  ["xz-utils", () => findProgram("xz")],
  ["zstd", () => findProgram("zstd")],
  ["util-linux", () => findProgram("flock")],
  // For the tests inside it: volumes and file systems on the disks.
  ["dmsetup", () => findProgram("dmsetup")],
  ["e2fsprogs", () => findProgram("mkfs.ext4")],
  // RDMA without hardware, and its library: at run time, and its headers for what is declared of it.
  ["iproute2", () => findProgram("rdma")],
  ["ibverbs-providers", () => findFile("/etc/libibverbs.d/rxe.driver")],
  ["libibverbs-dev", () => findFile("/usr/include/infiniband/verbs.h")],
  // What p2pmem is held against: the kernel's driver, what reads it, and RDMA's own benchmarks.
  ["fio", () => findProgram("fio")],
  ["nvme-cli", () => findProgram("nvme")],
  ["perftest", () => findProgram("ib_write_bw")],
];

/** What the tests of reports need. */
export const BROWSER = [["chromium", () => findProgram("chromium")]];

/** The packages that are still missing, by their Debian names. */
export function missingPackages(needed = NEEDED) {
  return needed.filter(([, present]) => present() === undefined).map(([name]) => name);
}

/** The path of the static busybox. */
export function busyboxPath() {
  const path = staticBusybox();
  if (path === undefined) throw new LabError("no static busybox: install busybox-static");
  return path;
}

/** The fields of /etc/os-release, such as VERSION_CODENAME. */
export function osRelease() {
  const fields = {};
  if (!existsSync("/etc/os-release")) return fields;
  for (const line of readFileSync("/etc/os-release", "utf8").split("\n")) {
    const [, key, value] = /^([A-Z_]+)="?([^"]*)"?$/.exec(line) ?? [];
    if (key !== undefined) fields[key] = value;
  }
  return fields;
}

/** Why the lab can neither run here nor install what it lacks, as one line; undefined if it can. */
export function obstacle() {
  if (process.platform !== "linux" || process.arch !== "x64") {
    return `the lab needs Linux on x86-64, this is ${process.platform} on ${process.arch}`;
  }
  return missingObstacle("the lab", NEEDED);
}

/** Why what is missing cannot be installed; undefined if it can, or if nothing is missing. */
export function missingObstacle(who, needed) {
  const missing = missingPackages(needed);
  if (missing.length === 0) return undefined;
  const debian = findProgram("apt-get") !== undefined;
  if (debian && process.getuid() === 0) return undefined;
  return debian
    ? `${who} needs packages: as root, apt-get install ${missing.join(" ")}`
    : `${who} needs programs, by their Debian package names: install ${missing.join(" ")}`;
}

/** Installs what is missing, and nothing else. */
export function installPackages(say, needed = NEEDED) {
  const missing = missingPackages(needed);
  if (missing.length === 0) return;
  say(`installing ${missing.join(" ")}`);
  // Another apt may be at work on this machine: wait for it instead of failing.
  const wait = ["-o", "DPkg::Lock::Timeout=300"];
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const install = [...wait, "install", "-y", "--no-install-recommends", ...missing];
  try {
    capture("apt-get", install, { env });
  } catch {
    // The lists may be absent or older than the mirror.
    capture("apt-get", [...wait, "update"], { env });
    capture("apt-get", install, { env });
  }
  const still = missingPackages(needed);
  if (still.length > 0) throw new LabError(`apt-get did not bring ${still.join(" ")}`);
}
