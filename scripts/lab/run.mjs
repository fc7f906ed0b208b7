// One run: start the machine, pass the command's output on while it runs, return its exit code.

import { spawn } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { findProgram } from "./command.mjs";
import { imagesOf, machineArguments } from "./machine.mjs";
import { writePack } from "./pack.mjs";
import { MonitorRequests } from "./qmp.mjs";

/** The lab itself failed: QEMU ended or the guest panicked before the command returned. */
export const EXIT_LAB = 125;
/** As timeout(1) has it. */
export const EXIT_TIMEOUT = 124;
const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

const IMAGE_BYTES = 256 * 1024 * 1024;
const POLL_MILLISECONDS = 20;
/** The guest powers off within a second of leaving its status; longer means that it hangs. */
const POWER_OFF_MILLISECONDS = 10_000;

const PASSED_ON = /^(P2PMEM_|MOCHA_|NODE_|CI$|PATH$|LANG$|LC_|TZ$|FORCE_COLOR$|NO_COLOR$)/;
// Settings of the lab itself mean nothing inside it. The certificates cost every Node process there
// more than a second to parse, and there is no network to use them on.
const KEPT_BACK = /^(P2PMEM_LAB(_|$)|NODE_EXTRA_CA_CERTS$)/;

const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;

/** The script that the guest runs: environment, directory, and the command, word for word. */
function guestScript({ directory, command, machine }) {
  const passed = Object.entries(process.env).filter(
    ([name]) => PASSED_ON.test(name) && !KEPT_BACK.test(name),
  );
  const environment = {
    ...Object.fromEntries(passed),
    HOME: homedir(),
    USER: "root",
    LOGNAME: "root",
    SHELL: "/bin/sh",
    TERM: process.env.TERM ?? "dumb",
    PATH: `/run/p2pmem-lab/share/bin:${process.env.PATH}`,
    P2PMEM_LAB: "1",
    P2PMEM_LAB_MACHINE: machine,
    P2PMEM_LAB_OUT: "/run/p2pmem-lab/out",
    // The guest has no network: npm would wait for a registry that it cannot reach.
    npm_config_offline: "true",
    npm_config_update_notifier: "false",
  };
  return [
    ...Object.entries(environment).map(([name, text]) => `export ${name}=${quote(text)}`),
    `cd ${quote(directory)} || exit 125`,
    `exec ${command.map(quote).join(" ")}`,
    "",
  ].join("\n");
}

/** Places npx for the guest, and the repository's own programs, which npm links nowhere. */
function placePrograms(directory, bin) {
  mkdirSync(join(bin, "own"), { recursive: true });
  copyFileSync(fileURLToPath(new URL("npx", import.meta.url)), join(bin, "npx"));
  const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  for (const [name, path] of Object.entries(manifest.bin ?? {})) {
    const text = `#!/bin/sh\nexec node ${quote(resolve(directory, path))} "$@"\n`;
    writeFileSync(join(bin, "own", name), text, { mode: 0o755 });
  }
}

/** Passes on what a growing file holds beyond what was passed on before. */
class Tail {
  #path;
  #stream;
  #file;
  #position = 0;
  #buffer = Buffer.alloc(1 << 16);

  constructor(path, stream) {
    this.#path = path;
    this.#stream = stream;
  }

  poll() {
    if (this.#file === undefined) {
      if (!existsSync(this.#path)) return;
      this.#file = openSync(this.#path, "r");
    }
    for (;;) {
      const length = readSync(this.#file, this.#buffer, 0, this.#buffer.length, this.#position);
      if (length === 0) return;
      this.#position += length;
      // A copy: the stream may keep it until its reader is ready.
      this.#stream.write(Buffer.from(this.#buffer.subarray(0, length)));
    }
  }

  close() {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

function createImages(directory, names) {
  for (const name of names) {
    const path = join(directory, name);
    if (existsSync(path)) continue;
    writeFileSync(path, "");
    truncateSync(path, IMAGE_BYTES);
  }
}

/** The end of a file, for a person to read. */
function lastLines(path, count) {
  if (!existsSync(path)) return "";
  return readFileSync(path, "utf8")
    .replaceAll("\r", "")
    .trimEnd()
    .split("\n")
    .slice(-count)
    .join("\n");
}

/** QEMU ends with this process, even if it is killed: nobody else would end it. */
function startQemu(qemu, args, stdio) {
  const setpriv = findProgram("setpriv");
  return setpriv === undefined
    ? spawn(qemu, args, { stdio })
    : spawn(setpriv, ["--pdeathsig", "KILL", qemu, ...args], { stdio });
}

/**
 * Boots the machine and runs `command` in it; returns the exit code for this process, and whether the
 * guest's kernel panicked before the command began.
 *
 * @param options machine, dir, dmesg, timeout (seconds), shell, directory (where the command runs), command
 * @param parts qemu, kernel, initramfs, accel
 */
export async function run(options, parts) {
  const work = mkdtempSync(join(tmpdir(), "p2pmem-lab-"));
  const inWork = (name) => join(work, name);
  let qemu;
  let monitor;
  let timer;
  let ticker;
  let outcome; // what ended the run, if it was not the command's own end
  const end = (code) => {
    outcome ??= code;
    // SIGTERM lets QEMU give the terminal back as it was.
    qemu?.kill("SIGTERM");
    setTimeout(() => qemu?.kill("SIGKILL"), 2000).unref();
  };
  const handlers = Object.entries(SIGNALS).map(([signal, code]) => [signal, () => end(code)]);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  // Whoever read our output has gone (`npm run lab … | head`): as the shell counts a SIGPIPE.
  const onBrokenPipe = () => end(141);
  process.stdout.on("error", onBrokenPipe);
  process.stderr.on("error", onBrokenPipe);

  try {
    const images = options.dir === undefined ? work : resolve(options.dir);
    const [shareDirectory, outDirectory] = [inWork("share"), join(images, "out")];
    for (const path of [images, shareDirectory, outDirectory]) mkdirSync(path, { recursive: true });
    createImages(images, imagesOf(options.machine));
    const inShare = (name) => join(shareDirectory, name);
    writeFileSync(inShare("command"), guestScript(options));
    placePrograms(options.directory, inShare("bin"));
    writePack(options.directory, inShare("pack"));
    if (parts.kernel.modules !== undefined) writeFileSync(inShare("modules"), parts.kernel.modules);
    if (options.shell) {
      const { rows, columns } = process.stdout;
      writeFileSync(inShare("shell"), `rows ${rows || 24} cols ${columns || 80}`);
    }

    const console = options.shell
      ? "stdio,id=console,signal=off"
      : `file,id=console,path=${inWork("console").replaceAll(",", ",,")}`;
    const { machine } = options;
    const args = machineArguments({
      ...parts,
      machine,
      images,
      shareDirectory,
      outDirectory,
      console,
      monitor: inWork("qmp"),
    });
    const log = openSync(inWork("qemu"), "w");
    const terminal = options.shell ? "inherit" : "ignore";
    qemu = startQemu(parts.qemu, args, [terminal, options.shell ? "inherit" : log, log]);
    closeSync(log);
    const ended = new Promise((resolve_) => {
      qemu.once("error", resolve_);
      qemu.once("exit", resolve_);
    });
    timer = setTimeout(() => end(EXIT_TIMEOUT), options.timeout * 1000);

    const tails = [
      new Tail(inShare("stdout"), process.stdout),
      new Tail(inShare("stderr"), process.stderr),
    ];
    // What an earlier run with this --dir has left is not this guest's.
    rmSync(join(outDirectory, "qmp"), { recursive: true, force: true });
    monitor = new MonitorRequests(join(outDirectory, "qmp"), inWork("qmp"));
    let statusSeen = false;
    ticker = setInterval(() => {
      for (const tail of tails) tail.poll();
      monitor.poll();
      if (!statusSeen && existsSync(inShare("status"))) {
        statusSeen = true;
        clearTimeout(timer);
        timer = setTimeout(() => qemu.kill("SIGKILL"), POWER_OFF_MILLISECONDS);
      }
    }, POLL_MILLISECONDS);

    await ended;
    for (const tail of tails) {
      tail.poll();
      tail.close();
    }
    if (options.dmesg !== undefined) {
      const complete = existsSync(inShare("dmesg"));
      const source = complete ? inShare("dmesg") : inWork("console");
      if (existsSync(source)) copyFileSync(source, options.dmesg);
    }
    if (outcome === EXIT_TIMEOUT) {
      process.stderr.write(`lab: ended after ${options.timeout} s (--timeout)\n`);
    }
    if (outcome !== undefined) return { code: outcome, panickedEarly: false };
    const status = existsSync(inShare("status")) ? readFileSync(inShare("status"), "utf8") : "";
    if (/^\d+\n$/.test(status)) return { code: Number(status), panickedEarly: false };
    const words = [lastLines(inWork("qemu"), 10), lastLines(inWork("console"), 40)];
    process.stderr.write(
      ["lab: the guest ended before the command did", ...words.filter(Boolean), ""].join("\n"),
    );
    const hasBegun = existsSync(inShare("stdout"));
    return { code: EXIT_LAB, panickedEarly: !hasBegun && words[1].includes("Kernel panic") };
  } finally {
    clearTimeout(timer);
    clearInterval(ticker);
    monitor?.close();
    for (const [signal, handler] of handlers) process.off(signal, handler);
    rmSync(work, { recursive: true, force: true });
  }
}
