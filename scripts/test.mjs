// npm test: every stage, one after another, also after one has failed; the last line counts the tests.
// With names of stages as arguments, only those.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BROWSER, installPackages, missingObstacle } from "./lab/packages.mjs";

const root = dirname(import.meta.dirname);
const scratch = mkdtempSync(join(tmpdir(), "p2pmem-test-"));
const node = process.execPath;
const module = (path) => join(root, "node_modules", path);
const mocha = [module("mocha/bin/mocha.js"), "--reporter", "test/support/reporter.cjs"];

// No stage takes a third of it.
const HANGS_MS = 40 * 60_000;
// What a test may take beyond its own time, or a virtual server to boot, on a very busy machine.
const GRACE_MS = 3 * 60_000;

/**
 * Ends a run whose current test goes on though its time is long over: mocha cannot end one that blocks
 * its thread. `totals`: the file that the reporter keeps.
 */
function endWhereHanging(child, totals) {
  const began = Date.now();
  const ticker = setInterval(() => {
    const since = statSync(totals, { throwIfNoEntry: false })?.mtimeMs ?? began;
    const { timeout = 0 } = readReport(totals) ?? {};
    if (Date.now() - since < timeout + GRACE_MS) return;
    clearInterval(ticker);
    child.kill("SIGTERM"); // which the lab ends its server on
    setTimeout(() => child.kill("SIGKILL"), 10_000).unref();
    // Processes that a test has left may hold them open.
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  }, 1000);
  child.once("close", () => clearInterval(ticker));
}

/**
 * Passes through what the command prints, or `late`: at its end; true where it exits with 0. One that
 * hangs is killed; of a run of tests the reporter tells that in the file `totals`.
 */
async function run(words, { env = {}, late = false, totals } = {}) {
  const output = late ? "pipe" : "inherit";
  const child = spawn(words[0], words.slice(1), {
    cwd: root,
    stdio: ["inherit", output, output],
    env: { ...process.env, ...env },
    timeout: HANGS_MS,
    killSignal: "SIGKILL",
  });
  if (totals !== undefined) endWhereHanging(child, totals);
  const printed = [];
  if (late)
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => printed.push(data));
  const [status] = await once(child, "close");
  process.stdout.write(Buffer.concat(printed));
  return status === 0;
}

function total(results) {
  const sum = (name) => results.reduce((before, result) => before + result[name], 0);
  return { passed: sum("passed"), failed: sum("failed") };
}

/** By its path in node_modules; prints at its end, since others run beside it. */
function tool(path, ...args) {
  return run([node, module(path), ...args], { late: true });
}

/** What the reporter has written so far, or undefined. */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/**
 * The totals that the reporter left. A run that left none, ended within a test, or failed without a
 * failed test, failed.
 */
function readTotals(file, ok) {
  const { passed, failed, running } = readReport(file) ?? { passed: 0, failed: 1 };
  if (running === undefined) return { passed, failed: ok ? failed : Math.max(failed, 1) };
  console.log(`the run ended, or was ended since it hung, in: ${running}`);
  return { passed, failed: failed + 1 };
}

/**
 * Runs tasks, of which each gives totals, in their order and two at a time. Those after the first are
 * called with `late`.
 */
async function twoAtATime(tasks) {
  const results = [];
  const waiting = tasks.entries();
  const work = async () => {
    for (const [index, task] of waiting) results.push(await task({ late: index > 0 }));
  };
  await Promise.all([work(), work()]);
  return total(results);
}

let suites = 0;

/** `parts`: directories below test, or files of tests. */
async function suite(timeout, parts, options) {
  const totals = join(scratch, `suite-${suites++}.json`);
  const files = parts.map((part) =>
    part.endsWith(".test.ts") ? builtOf(part) : `dist-test/${part}/**/*.test.js`,
  );
  const command = [node, ...mocha, "--timeout", timeout, ...files];
  const env = { P2PMEM_TEST_TOTALS: totals };
  return readTotals(totals, await run(command, { ...options, env, totals }));
}

/** What the compiler makes of a file below test. */
function builtOf(file) {
  return join("dist-test", file.replace(/\.ts$/, ".js"));
}

/** The files of tests below a directory, as suite() takes them. */
function filesIn(directory) {
  return readdirSync(join(root, "test", directory), { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => join(directory, name));
}

/** Every second file is one process's. */
function unit() {
  const files = filesIn("unit");
  const halves = [0, 1].map((half) => files.filter((_, index) => index % 2 === half));
  return twoAtATime(halves.map((half) => (options) => suite("20000", half, options)));
}

/** On the loopback machine. The command's tests start many processes and wait: two things at a time. */
function loopback() {
  return twoAtATime(
    [["loopback", "device", "rdma"], ["cli"]].map(
      (parts) => (options) => suite("60000", parts, options),
    ),
  );
}

/**
 * Counts as one test. The compiler comes first: the stages after it run what it wrote. Two things at a
 * time: rules that ask for types take as long as all the rest.
 */
async function lint() {
  // With --build: `npm ci` has just compiled it, by the script "prepare".
  const isBuilt =
    (await run([node, "scripts/build-native.mjs"])) &&
    (await tool("typescript/bin/tsc", "--build", "tsconfig.json"));
  const rules = tool("eslint/bin/eslint.js", ".");
  const checks = [
    isBuilt,
    await tool("typescript/bin/tsc", "-p", "test/tsconfig.json"),
    await tool("typescript/bin/tsc", "-p", "assets/report/tsconfig.json"),
    await tool("prettier/bin/prettier.cjs", "--check", "--log-level=warn", "."),
    await rules,
  ];
  return checks.every(Boolean) ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

const SOFT_ROCE = "sh scripts/lab/soft-roce";

/** As suite(), inside a virtual server. `first`: the command that readies it. */
async function suiteInLab(directories, { first = "true", env, ...options }) {
  const files = directories.map((name) => `'dist-test/${name}/**/*.test.js'`).join(" ");
  const inGuest =
    `${first} && P2PMEM_TEST_TOTALS="$P2PMEM_LAB_OUT/totals.json" ` +
    `exec node "$@" --timeout 300000 ${files}`;
  const images = join(scratch, `lab-${directories.join("-")}`);
  const inLab = ["scripts/lab.mjs", "--dir", images, "--timeout", "1800"];
  const totals = join(images, "out/totals.json");
  const words = [node, ...inLab, "sh", "-c", inGuest, "sh", ...mocha];
  return readTotals(totals, await run(words, { ...options, env, totals }));
}

/** As suiteInLab(), by a kernel that has iommufd, where one is named: Debian's has not. */
function suiteOfIommufd(options) {
  const kernel = process.env.P2PMEM_LAB_IOMMUFD_KERNEL;
  if (kernel) return suiteInLab(["iommufd"], { ...options, env: { P2PMEM_LAB_KERNEL: kernel } });
  console.log("skipped: tests with iommufd: P2PMEM_LAB_IOMMUFD_KERNEL names no kernel image");
  return { passed: 0, failed: 0 };
}

/** Counts as a failure where everything must run. */
function cannotRun(what, reason) {
  const must = process.env.CI === "true";
  console.log(`${must ? `${what} must run where CI=true` : "skipped"}: ${reason}`);
  return { passed: 0, failed: must ? 1 : 0 };
}

/** Opens HTML reports in a browser. */
async function report() {
  await installed;
  const reason = missingObstacle("the test of reports", BROWSER);
  if (reason !== undefined) return cannotRun("the test of reports", reason);
  try {
    installPackages(console.log, BROWSER);
  } catch (error) {
    console.error(error.message);
    return { passed: 0, failed: 1 };
  }
  return suite("60000", ["report"]);
}

/**
 * Inside virtual servers the device and RDMA suites, and the command on devices that VFIO owns; then what
 * needs the host's side of them, or servers of its own. A server keeps one processor busy, so two run at
 * a time, the longest first.
 */
async function lab() {
  await installed;
  const check = spawnSync(node, ["scripts/lab.mjs", "--check"], { cwd: root, encoding: "utf8" });
  if (check.status !== 0) {
    return cannotRun("the lab", (check.stdout + check.stderr).trim().replaceAll("\n", " "));
  }
  if (!(await run([node, "scripts/lab.mjs", "--install"]))) return { passed: 0, failed: 1 };
  return twoAtATime([
    (options) => suiteInLab(["device", "rdma"], { ...options, first: SOFT_ROCE }),
    (options) => suiteInLab(["guest"], { ...options, first: SOFT_ROCE }),
    suiteOfIommufd,
    ...filesIn("lab").map((file) => (options) => suite("600000", [file], options)),
  ]);
}

const stages = {
  lint,
  unit,
  codegen: () => suite("60000", ["codegen"]),
  loopback,
  report,
  lab,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in stages));
if (unknown.length > 0) {
  console.error(`no stage ${unknown.join(", ")}; there are ${Object.keys(stages).join(", ")}`);
  process.exit(2);
}

// Where all must run, what some stages need comes while those before them run.
const needs = ["report", "lab"].some((name) => wanted.length === 0 || wanted.includes(name));
const installed =
  needs && process.env.CI === "true"
    ? run([node, "scripts/install-test-packages.mjs"], { late: true })
    : undefined;

const results = [];
for (const [name, stage] of Object.entries(stages)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n== ${name}`);
  const start = performance.now();
  const result = await stage();
  const seconds = Math.round((performance.now() - start) / 1000);
  console.log(`== ${name}: ${result.passed} passed, ${result.failed} failed, ${seconds} s`);
  results.push(result);
}
rmSync(scratch, { recursive: true, force: true });
const { passed, failed } = total(results);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
