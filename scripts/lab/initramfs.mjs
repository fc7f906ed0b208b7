// The guest's first root: a static busybox, the kernel modules it needs, and the two guest scripts.

import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

import { LabError, capture } from "./command.mjs";
import { busyboxPath } from "./packages.mjs";

// What the guest must have before it sees the host's files (virtio, 9p, overlay), and VFIO, which is
// quicker to load from here than over 9p. A name that the kernel has built in is skipped.
const MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay", "vfio-pci", "vfio_iommu_type1"];
const SCRIPTS = ["init", "guest"];

const script = (name) => fileURLToPath(new URL(name, import.meta.url));

/** The module files to load, each after those it depends on. */
function modulesInOrder(directory) {
  const dependencies = new Map();
  for (const line of readFileSync(join(directory, "modules.dep"), "utf8").split("\n")) {
    const [file, rest] = line.split(":");
    if (rest !== undefined) dependencies.set(file, rest.trim().split(/\s+/).filter(Boolean));
  }
  const name = (file) =>
    basename(file)
      .replace(/\.ko(\.\w+)?$/, "")
      .replaceAll("_", "-");
  const order = new Set();
  for (const wanted of MODULES) {
    const file = [...dependencies.keys()].find((key) => name(key) === wanted.replaceAll("_", "-"));
    if (file === undefined) continue;
    // depmod lists the nearest dependency first, so the furthest is loaded first.
    for (const needed of [...dependencies.get(file)].reverse()) order.add(needed);
    order.add(file);
  }
  return [...order];
}

/** Writes one module, decompressed: busybox's insmod takes nothing else. */
function placeModule(source, target) {
  const decompress = { ".xz": "xz", ".zst": "zstd", ".gz": "gzip" }[/\.[a-z]+$/.exec(source)[0]];
  if (decompress === undefined) copyFileSync(source, target);
  else writeFileSync(target, capture(decompress, ["-dc", source]));
}

/** The initramfs for a kernel, built on first use; its name is a hash of all that goes into it. */
export function initramfs(cache, kernel) {
  const busybox = busyboxPath();
  const hash = createHash("sha256").update(`${kernel.release}\0${MODULES.join()}\0`);
  for (const file of [busybox, ...SCRIPTS.map(script)]) hash.update(readFileSync(file));
  const path = join(cache, `initramfs-${hash.digest("hex").slice(0, 16)}.cpio`);
  if (existsSync(path)) return path;

  const work = mkdtempSync(join(cache, "initramfs-building-"));
  try {
    const root = join(work, "root");
    for (const directory of ["bin", "modules", "proc", "sys", "dev", "host", "upper", "root"]) {
      mkdirSync(join(root, directory), { recursive: true });
    }
    const files = ["bin/busybox"];
    copyFileSync(busybox, join(root, "bin/busybox"));
    for (const name of SCRIPTS) {
      // Mode from the repository's file: the kernel starts /init as a program.
      copyFileSync(script(name), join(root, name));
      files.push(name);
    }
    const modules = kernel.modules === undefined ? [] : modulesInOrder(kernel.modules);
    const loads = modules.map((file, index) => {
      // The number makes the shell's alphabetic order the order of loading.
      const name = `modules/${String(index).padStart(2, "0")}-${basename(file).replace(/\.ko.*/, ".ko")}`;
      placeModule(join(kernel.modules, file), join(root, name));
      return name;
    });
    const list = [
      "bin",
      "modules",
      "proc",
      "sys",
      "dev",
      "host",
      "upper",
      "root",
      ...files,
      ...loads,
    ];
    const archive = capture("cpio", ["-o", "-H", "newc", "--owner=+0:+0", "--quiet"], {
      cwd: root,
      input: `${list.join("\n")}\n`,
      stdio: ["pipe", "pipe", "pipe"],
    });
    if (archive.length === 0) throw new LabError("cpio wrote nothing");
    writeFileSync(join(work, "archive"), archive);
    renameSync(join(work, "archive"), path);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return path;
}
