// npm test: every stage, one after another, also after one has failed; the last line counts the tests.
// With names of stages as arguments, only those.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const scratch = mkdtempSync(join(tmpdir(), "p2pmem-test-"));
const node = process.execPath;
const module = (path) => join(root, "node_modules", path);
// The reporter collects garbage.
const mocha = [
  "--expose-gc",
  module("mocha/bin/mocha.js"),
  "--reporter",
  "test/support/reporter.cjs",
];

/** Passes through what the command prints; true where it exits with 0. */
function run(words, env = {}) {
  const options = { cwd: root, stdio: "inherit", env: { ...process.env, ...env } };
  return spawnSync(words[0], words.slice(1), options).status === 0;
}

function tool(path, ...args) {
  return run([node, module(path), ...args]);
}

/** The totals that the reporter left; a run that left none, or failed without a failed test, failed. */
function readTotals(file, ok) {
  try {
    const { passed, failed } = JSON.parse(readFileSync(file, "utf8"));
    return { passed, failed: ok ? failed : Math.max(failed, 1) };
  } catch {
    return { passed: 0, failed: 1 };
  }
}

function suite(timeout, ...directories) {
  const totals = join(scratch, `${directories.join("-")}.json`);
  const files = directories.map((name) => `dist-test/${name}/**/*.test.js`);
  const ok = run([node, ...mocha, "--timeout", timeout, ...files], { P2PMEM_TEST_TOTALS: totals });
  return readTotals(totals, ok);
}

/** Counts as one test. The compiler comes first: the stages after it run what it wrote. */
function lint() {
  const checks = [
    run([node, "scripts/build-native.mjs"]),
    tool("typescript/bin/tsc", "-p", "tsconfig.json"),
    tool("typescript/bin/tsc", "-p", "test/tsconfig.json"),
    tool("eslint/bin/eslint.js", "."),
    tool("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
  ];
  return checks.every(Boolean) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/**
 * Inside the virtual server the device suite, and the command on devices that VFIO owns; then what
 * needs the host's side of it.
 */
function lab() {
  const check = spawnSync(node, ["scripts/lab.mjs", "--check"], { cwd: root, encoding: "utf8" });
  if (check.status !== 0) {
    const reason = (check.stdout + check.stderr).trim().replaceAll("\n", " ");
    const must = process.env.CI === "true";
    console.log(`${must ? "the lab must run where CI=true" : "skipped"}: ${reason}`);
    return { passed: 0, failed: must ? 1 : 0 };
  }
  const inGuest =
    'P2PMEM_TEST_TOTALS="$P2PMEM_LAB_OUT/totals.json" exec node "$@" --timeout 300000 ' +
    "'dist-test/device/**/*.test.js' 'dist-test/guest/**/*.test.js'";
  const command = ["sh", "-c", inGuest, "sh", ...mocha];
  const ok = run([node, "scripts/lab.mjs", "--dir", scratch, "--timeout", "1800", ...command]);
  const guest = readTotals(join(scratch, "out/totals.json"), ok);
  const host = suite("600000", "lab");
  return { passed: guest.passed + host.passed, failed: guest.failed + host.failed };
}

const stages = {
  lint,
  unit: () => suite("20000", "unit"),
  codegen: () => suite("60000", "codegen"),
  loopback: () => suite("60000", "loopback", "device", "cli"),
  lab,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in stages));
if (unknown.length > 0) {
  console.error(`no stage ${unknown.join(", ")}; there are ${Object.keys(stages).join(", ")}`);
  process.exit(2);
}

const sum = { passed: 0, failed: 0 };
for (const [name, stage] of Object.entries(stages)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}`);
  const { passed, failed } = stage();
  console.log(`== ${name}: ${passed} passed, ${failed} failed`);
  sum.passed += passed;
  sum.failed += failed;
}
rmSync(scratch, { recursive: true, force: true });
console.log(`${sum.passed} passed, ${sum.failed} failed`);
process.exitCode = sum.failed > 0 ? 1 : 0;
