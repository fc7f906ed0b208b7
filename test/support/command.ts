import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export interface CommandResult {
  /** Exit code; null where a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The command as npm installs it: the file that package.json names as its bin. */
export const bin = fileURLToPath(import.meta.resolve("#lib/cli/main.js"));

/** Starts `p2pmem` with these arguments, in a process of its own. */
export function start(...args: string[]): { child: ChildProcess; done: Promise<CommandResult> } {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const done = new Promise<CommandResult>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      resolve({ code, stdout, stderr });
    });
  });
  return { child, done };
}

/** Resolves when a command has printed a whole line, as the first thing that it knows. */
export async function waitUntilPrinted({ stdout }: ChildProcess): Promise<void> {
  let text = "";
  while (!text.includes("\n")) text += String((await once(stdout!, "data"))[0]);
}

/** Resolves when a process has used so many seconds of CPU more. */
export async function waitUntilBusy(pid: number, seconds: number): Promise<void> {
  const start = cpuSeconds(pid);
  while (cpuSeconds(pid) < start + seconds) await delay(20);
}

/** proc(5): utime and stime of /proc/PID/stat, in ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function p2pmem(...args: string[]): Promise<CommandResult> {
  return start(...args).done;
}
