// Which accelerator runs the guest: KVM where it is known to work, else software emulation.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  accessSync,
  constants,
  existsSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";

import { LabError } from "./command.mjs";
import { platformArguments } from "./machine.mjs";

const PROBE_MILLISECONDS = 8000;

function openable(path) {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Boots the kernel once under KVM. A virtual machine's /dev/kvm often opens and answers, and then the
 * guest aborts or hangs in its first instructions: only a boot tells.
 */
function boots(qemu, kernel, initramfs) {
  const platform = { accel: "kvm", kernel, initramfs, parameters: ["lab_probe=1"] };
  const result = spawnSync(qemu, [...platformArguments(platform), "-serial", "stdio"], {
    stdio: ["ignore", "pipe", "ignore"],
    timeout: PROBE_MILLISECONDS,
    killSignal: "SIGKILL",
  });
  return result.status === 0 && result.stdout.includes("lab: boots");
}

/** 'kvm' or 'tcg'; P2PMEM_LAB_ACCEL decides it by hand. The probe's answer is cached. */
export function accelerator(qemu, cache, kernel, initramfs) {
  const wish = process.env.P2PMEM_LAB_ACCEL;
  if (wish !== undefined && wish !== "") {
    if (wish !== "kvm" && wish !== "tcg") {
      throw new LabError(`P2PMEM_LAB_ACCEL is kvm or tcg, not ${wish}`);
    }
    return wish;
  }
  if (!openable("/dev/kvm")) return "tcg";
  // A new host kernel, processor or guest kernel deserves a new look.
  const machine = [release(), cpus()[0]?.model, qemu, kernel.release].join("\0");
  const key = createHash("sha256").update(machine).digest("hex").slice(0, 16);
  const file = join(cache, `accel-${key}`);
  if (!existsSync(file)) {
    const found = boots(qemu, kernel, initramfs) ? "kvm" : "tcg";
    writeFileSync(`${file}.${process.pid}`, found);
    renameSync(`${file}.${process.pid}`, file);
  }
  return readFileSync(file, "utf8");
}
