// npm run lab: runs a command inside a virtual server with a real kernel, a real IOMMU and real VFIO.

import { mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { accelerator } from "./lab/accel.mjs";
import { LabError, findProgram, withLock } from "./lab/command.mjs";
import { initramfs } from "./lab/initramfs.mjs";
import { cachedKernel, installKernel } from "./lab/kernel.mjs";
import { MACHINES } from "./lab/machine.mjs";
import { installPackages, missingPackages, obstacle } from "./lab/packages.mjs";
import { EXIT_LAB, run } from "./lab/run.mjs";

const HELP = `Usage: npm run lab -- [OPTIONS] COMMAND [ARGUMENTS…]

Boots a virtual server (QEMU) with a PCIe switch, three NVMe controllers and a p2pmem card, binds them
to vfio-pci, runs COMMAND in the repository's directory inside it, and returns its output and its exit
code. The guest's files are the host's own; what it writes there is gone with it.

  --machine NAME   another machine than the default: ${Object.keys(MACHINES).slice(1).join(", ")}
                   (what they are is said in scripts/lab/machine.mjs)
  --shell          an interactive shell instead of COMMAND
  --dir DIR        keep the disks (nvme-cmb.img, nvme1.img, nvme2.img, …) and out/ in DIR
  --timeout SEC    end the run after SEC seconds with exit code 124 (default 600)
  --dmesg FILE     write the guest's kernel log to FILE at the end
  --install        only install and cache what the lab needs
  --check          only say whether the lab can run here (exit code 0), or what to install (1)
  --help           this text

Inside: NVME_CMB, NVME1, NVME2 and CARD hold the devices' PCI addresses; P2PMEM_LAB is 1;
P2PMEM_LAB_OUT is a directory whose files the host finds in DIR/out; requests to QEMU's monitor go
there, such as to pull a device (scripts/lab/qmp.mjs). P2PMEM_LAB_MACHINE is the NAME of --machine.
sh scripts/lab/soft-roce makes an RDMA device, rxe0.
Variables that begin with P2PMEM_, MOCHA_ or NODE_, and CI and PATH, are passed on.

Outside: P2PMEM_LAB_KERNEL names a kernel image to boot, with all it needs built in, instead of
Debian's; P2PMEM_LAB_ACCEL is kvm or tcg where the choice that the lab makes is not wanted.

Exit code ${EXIT_LAB}: the lab failed, not COMMAND.
`;

const EXIT_USAGE = 2;

/**
 * Tries at booting. Under software emulation a boot ends now and then in an int3 Oops: one processor
 * meets the breakpoint by which the kernel patches its own code on the other, after the kernel has
 * forgotten about it. The command has not begun then, so nothing of its outcome is hidden.
 */
const BOOTS = 3;

class UsageError extends LabError {}

/** Options stop at the first word that is none: everything from there on is the command's. */
function parseArguments(words) {
  const options = { machine: "default", timeout: 600, command: [] };
  let i = 0;
  const argument = (name) => {
    i += 1;
    if (words[i] === undefined) throw new UsageError(`${name} needs a value`);
    return words[i];
  };
  for (; i < words.length && words[i].startsWith("-"); i += 1) {
    const word = words[i];
    if (word === "--") {
      i += 1;
      break;
    }
    if (["--shell", "--install", "--check", "--help"].includes(word)) options[word.slice(2)] = true;
    else if (word === "--dir") options.dir = argument(word);
    else if (word === "--machine") {
      options.machine = argument(word);
      if (!Object.hasOwn(MACHINES, options.machine)) {
        throw new UsageError(`there is no machine ${words[i]}`);
      }
    } else if (word === "--dmesg") options.dmesg = argument(word);
    else if (word === "--timeout") {
      options.timeout = Number(argument(word));
      // setTimeout counts milliseconds in 31 bits.
      if (!(options.timeout > 0 && options.timeout < 2 ** 31 / 1000)) {
        throw new UsageError(`--timeout takes seconds, not ${words[i]}`);
      }
    } else throw new UsageError(`unknown option ${word}`);
  }
  options.command = words.slice(i);
  const alone = options.shell || options.install || options.check || options.help;
  if (alone && options.command.length > 0) throw new UsageError("no COMMAND goes with that option");
  if (!alone && options.command.length === 0) throw new UsageError("no COMMAND (see --help)");
  if (options.shell) options.command = ["/bin/sh", "-i"];
  return options;
}

const say = (words) => process.stderr.write(`lab: ${words}\n`);

/** What the machine is made of; installs and caches what is missing. */
async function prepare() {
  const reason = obstacle();
  if (reason !== undefined) throw new LabError(reason);
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "p2pmem", "lab");
  mkdirSync(cache, { recursive: true });
  if (missingPackages().length > 0 || cachedKernel(cache) === undefined) {
    await withLock(join(cache, "lock"), () => {
      // Both look again: another run may have brought everything while this one waited.
      installPackages(say);
      if (cachedKernel(cache) === undefined) installKernel(cache, say);
    });
  }
  const kernel = cachedKernel(cache);
  const initrd = initramfs(cache, kernel);
  const qemu = findProgram("qemu-system-x86_64");
  return { qemu, kernel, initramfs: initrd, accel: accelerator(qemu, cache, kernel, initrd) };
}

async function main() {
  const options = parseArguments(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (options.check) {
    const reason = obstacle();
    if (reason === undefined) return 0;
    process.stdout.write(`${reason}\n`);
    return 1;
  }
  const parts = await prepare();
  if (options.install) return 0;
  // The repository, not where npm was called: npm run changes to it as well.
  const directory = dirname(dirname(fileURLToPath(import.meta.url)));
  for (let boot = 1; ; boot++) {
    const { code, panickedEarly } = await run({ ...options, directory }, parts);
    if (!panickedEarly || boot === BOOTS) return code;
    say("the guest's kernel panicked before the command began; booting it again");
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  // A file system's refusal (a read-only cache, a full disk) is the machine's state, not our defect.
  if (!(error instanceof LabError || error.syscall !== undefined)) throw error;
  say(error.message);
  process.exitCode = error instanceof UsageError ? EXIT_USAGE : 1;
}
