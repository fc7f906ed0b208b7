import { spawn, type ChildProcess } from "node:child_process";
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

export function p2pmem(...args: string[]): Promise<CommandResult> {
  return start(...args).done;
}
