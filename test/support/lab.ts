/** Runs programs in a virtual server that is booted for them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** What test/support/reporter.cjs writes; `running`: the test that the run did not get beyond. */
interface Totals {
  passed: number;
  failed: number;
  pending: number;
  running?: string;
}

export interface LabRun {
  status: number | null;
  stdout: string;
  stderr: string;
  /** Of the script's last run of tests; null where there was none. */
  totals: Totals | null;
}

/**
 * `machine`: as for scripts/lab.mjs; `script`: for a shell, which is ended after so many `seconds`; `images`: a
 * directory with the disks, which are kept.
 */
export function runInLab(
  machine: string,
  script: string,
  { images, seconds = 500 }: { images?: string; seconds?: number } = {},
): LabRun {
  const directory = images ?? mkdtempSync(join(tmpdir(), "p2pmem-lab-run-"));
  try {
    const limit = ["--timeout", String(seconds)];
    const lab = ["scripts/lab.mjs", "--machine", machine, "--dir", directory, ...limit];
    const { status, stdout, stderr } = spawnSync(process.execPath, [...lab, "sh", "-c", script], {
      cwd: root,
      encoding: "utf8",
    });
    const file = join(directory, "out/totals.json");
    const totals = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Totals) : null;
    return { status, stdout, stderr, totals };
  } finally {
    if (images === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

/** The command, for a shell in the lab, that runs files of tests, in this order. */
export function testsIn(...files: string[]): string {
  return (
    'P2PMEM_TEST_TOTALS="$P2PMEM_LAB_OUT/totals.json" ' +
    `"${process.execPath}" node_modules/mocha/bin/mocha.js --timeout 120000 ` +
    `--reporter test/support/reporter.cjs ${files.join(" ")}`
  );
}

/** All of the tests have passed, and none was left out. */
export function assertPassed({ stdout, stderr, totals }: LabRun): void {
  const printed = stdout + stderr;
  assert.ok(totals !== null, printed);
  assert.equal(totals.running, undefined, printed);
  assert.deepEqual([totals.failed, totals.pending], [0, 0], printed);
  assert.ok(totals.passed > 0, printed);
}

/** Runs one file of tests, which have to pass. */
export function passInLab(machine: string, file: string): void {
  const run = runInLab(machine, testsIn(file));
  assertPassed(run);
  assert.equal(run.status, 0, run.stdout + run.stderr);
}
