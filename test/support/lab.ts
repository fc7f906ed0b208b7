/** Runs programs in a virtual server that is booted for them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What the program printed; it has to succeed. `machine`: as for scripts/lab.mjs. */
export function runInLab(machine: string, ...command: string[]): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["scripts/lab.mjs", "--machine", machine, "--timeout", "500", ...command],
    { cwd: root, encoding: "utf8" },
  );
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

/** Runs one file of tests, all of which have to pass, and none may be left out. */
export function passInLab(machine: string, file: string): void {
  assertPassed(runInLab(machine, process.execPath, ...testsIn(file)));
}

/** Node's arguments that run one file of tests and print what assertPassed() reads. */
export function testsIn(file: string): string[] {
  return ["node_modules/mocha/bin/mocha.js", "--timeout", "120000", "--reporter", "json", file];
}

export function assertPassed(printed: string): void {
  const { stats, failures } = JSON.parse(printed) as {
    stats: { passes: number; pending: number };
    failures: { fullTitle: string; err: { message?: string } }[];
  };
  assert.deepEqual(
    failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.message}`),
    [],
  );
  assert.ok(stats.passes > 0);
  assert.equal(stats.pending, 0);
}
