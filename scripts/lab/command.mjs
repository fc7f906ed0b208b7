// Running other programs from the lab's own scripts.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";

/** What the person who runs the lab is told, in one line, instead of a stack trace. */
export class LabError extends Error {}

// depmod and modprobe live in sbin, which an ordinary user's PATH leaves out.
const SEARCH_PATH = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

/** The full path of a program, or undefined. */
export function findProgram(name) {
  for (const directory of SEARCH_PATH.split(":")) {
    if (directory === "") continue;
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // Not in this directory.
    }
  }
  return undefined;
}

/** Runs a program to its end and returns what it printed; a failure carries its last words. */
export function capture(program, args, options = {}) {
  const result = spawnSync(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 1 << 28,
    ...options,
    env: { ...process.env, PATH: SEARCH_PATH, LC_ALL: "C", ...options.env },
  });
  if (result.error) throw new LabError(`${program}: ${result.error.message}`);
  if (result.status !== 0) {
    const words = result.stderr.toString().trim().split("\n").slice(-3).join(" | ");
    throw new LabError(
      `${program} ${args[0] ?? ""} failed (${result.status ?? result.signal}): ${words}`,
    );
  }
  return result.stdout;
}

/**
 * Runs `action` while holding an exclusive lock on `file`, waiting for whoever holds it.
 *
 * The lock belongs to a flock(1) child that ends when its standard input closes, so the kernel gives
 * it back even when this process is killed.
 */
export async function withLock(file, action) {
  const holder = spawn("flock", [file, "sh", "-c", "echo held; cat >/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  try {
    await new Promise((resolve, reject) => {
      holder.stdout.once("data", resolve);
      holder.once("error", reject);
      holder.once("exit", () => reject(new LabError(`cannot lock ${file}`)));
    });
    return await action();
  } finally {
    holder.stdin.end();
  }
}
