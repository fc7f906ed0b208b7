// The guest's kernel: a Debian kernel package, unpacked into the cache, never installed on the host.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

import { PrivateApt, machineSource } from "./apt.mjs";
import { LabError, capture } from "./command.mjs";
import { osRelease } from "./packages.mjs";

// 7.2.12+deb13-amd64, 6.1.0-37-amd64; not the flavours rt and cloud, nor -dbg.
const RELEASE = /^(\d+)\.(\d+)\.(\d+)(?:\+\w+)?(?:-(\d+))?-amd64$/;

/** Newest first. */
function byVersion(a, b) {
  const numbers = (release) =>
    RELEASE.exec(release)
      .slice(1)
      .map((part) => Number(part ?? 0));
  const [x, y] = [numbers(a), numbers(b)];
  const i = x.findIndex((number, index) => number !== y[index]);
  return i < 0 ? 0 : y[i] - x[i];
}

/** The newest kernel among a suite's packages: its release and the packages that hold it. */
export function newestKernel(packageNames) {
  const names = new Set(packageNames);
  const releases = [...names]
    .map((name) => /^linux-(?:image|binary)-(.*)$/.exec(name)?.[1])
    .filter((release) => release !== undefined && RELEASE.test(release));
  for (const release of [...new Set(releases)].sort(byVersion)) {
    // Since 7.0 image, modules and their lists are packages of their own.
    const split = ["binary", "modules", "base"].map((part) => `linux-${part}-${release}`);
    if (split.every((name) => names.has(name))) return { release, packages: split };
    const whole = `linux-image-${release}`;
    if (names.has(whole) && !names.has(split[1])) return { release, packages: [whole] };
  }
  return undefined;
}

const UNCOMPRESSED = "vmlinux";

/**
 * Writes the kernel inside a bzImage, uncompressed, to `target`: QEMU starts it directly (PVH), while a
 * bzImage unpacks itself in the guest, which costs a second and more under software emulation.
 */
function uncompress(bzImage, target) {
  // Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length.
  const image = readFileSync(bzImage);
  const start = ((image[0x1f1] || 4) + 1) * 512 + image.readUInt32LE(0x248);
  // The payload's last four bytes are its uncompressed size, no part of the stream.
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  const [program] = [
    ["zstd", 0xfd2fb528],
    ["xz", 0x587a37fd],
    ["gzip", 0x00088b1f],
  ].find(([, magic]) => payload.readUInt32LE(0) === magic) ?? [undefined];
  if (program === undefined) return;
  const { status, stdout } = spawnSync(program, ["-dc"], { input: payload, maxBuffer: 1 << 28 });
  // Whatever went wrong, the bzImage boots as well.
  if (status === 0 && stdout.subarray(0, 4).toString("latin1") === "\x7fELF") {
    writeFileSync(target, stdout);
  }
}

/** Where a kernel that was unpacked into `directory` keeps its parts. */
function describe(directory, release) {
  const modules = [`usr/lib/modules/${release}`, `lib/modules/${release}`]
    .map((path) => join(directory, path))
    .find((path) => existsSync(path));
  if (modules === undefined) return undefined;
  const image = [
    join(directory, UNCOMPRESSED),
    join(modules, "vmlinuz"),
    join(directory, `boot/vmlinuz-${release}`),
  ].find((path) => existsSync(path));
  return image === undefined ? undefined : { release, image, modules };
}

/** The kernel to boot, if it is here: P2PMEM_LAB_KERNEL, or the newest in the cache. */
export function cachedKernel(cache) {
  const own = process.env.P2PMEM_LAB_KERNEL;
  if (own !== undefined && own !== "") {
    const image = resolve(own);
    if (!existsSync(image)) throw new LabError(`P2PMEM_LAB_KERNEL: no such file: ${image}`);
    const hash = createHash("sha256").update(readFileSync(image)).digest("hex").slice(0, 12);
    return { release: `own-${hash}`, image, modules: undefined };
  }
  if (!existsSync(cache)) return undefined;
  const releases = readdirSync(cache)
    .map((name) => /^kernel-(.*)$/.exec(name)?.[1])
    .filter((release) => release !== undefined && RELEASE.test(release));
  for (const release of releases.sort(byVersion)) {
    const kernel = describe(join(cache, `kernel-${release}`), release);
    if (kernel !== undefined) return kernel;
  }
  return undefined;
}

/** Unpacks the newest kernel of one suite into the cache. */
function installFrom(suite, source, cache, say) {
  const work = mkdtempSync(join(cache, "installing-"));
  try {
    const apt = new PrivateApt(join(work, "apt"), source, suite);
    apt.update();
    const newest = newestKernel(apt.packageNames());
    if (newest === undefined) throw new LabError(`${suite} holds no kernel for amd64`);
    const { release, packages } = newest;
    say(`fetching the guest's kernel, ${release} from ${suite}`);
    const [archives, tree] = ["archives", "tree"].map((name) => join(work, name));
    mkdirSync(archives);
    mkdirSync(tree);
    apt.download(packages, archives);
    for (const name of readdirSync(archives)) capture("dpkg", ["-x", join(archives, name), tree]);
    const kernel = describe(tree, release);
    if (kernel === undefined)
      throw new LabError(`${release}: no image or no modules in its packages`);
    capture("depmod", ["-b", kernel.modules.replace(/\/lib\/modules\/[^/]+$/, ""), release]);
    uncompress(kernel.image, join(tree, UNCOMPRESSED));
    // The rename makes the kernel appear whole or not at all.
    renameSync(tree, join(cache, `kernel-${release}`));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Brings a kernel into the cache; the caller holds the cache's lock. */
export function installKernel(cache, say) {
  // Only the lock's holder makes these, so any that are here were left by a run that was killed.
  for (const name of readdirSync(cache).filter((entry) => entry.startsWith("installing-"))) {
    rmSync(join(cache, name), { recursive: true, force: true });
  }
  const codename = osRelease().VERSION_CODENAME;
  // Backports of Debian 13 hold kernels with PCI_P2PDMA and VFIO's dma-buf export. Without them the
  // machine's own suites still give VFIO type1, which is all that most tests ask for.
  const suites = new Set(["trixie-backports", `${codename}-backports`, codename]);
  const reasons = [];
  try {
    const source = machineSource(codename);
    for (const suite of suites) {
      try {
        return installFrom(suite, source, cache, say);
      } catch (error) {
        reasons.push(`${suite}: ${error.message}`);
      }
    }
  } catch (error) {
    reasons.push(error.message);
  }
  throw new LabError(
    `no kernel for the guest (${reasons.join("; ")}): set P2PMEM_LAB_KERNEL to a bzImage with ` +
      "VFIO, 9p over virtio and overlayfs built in",
  );
}
