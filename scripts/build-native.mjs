// Builds build/Release/p2pmem.node: npm's install script. Says nothing when all is well, and nothing
// is done when the addon is newer than its sources.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const addon = join(root, "build/Release/p2pmem.node");

function fail(message, hint) {
  process.stderr.write(`p2pmem: cannot build the native addon: ${message}\n  hint: ${hint}\n`);
  process.exit(1);
}

/** Time of the newest file below `path`. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isFresh() {
  if (!existsSync(addon)) return false;
  const sources = ["binding.gyp", "native"].map((name) => newest(join(root, name)));
  return statSync(addon).mtimeMs > Math.max(...sources);
}

/** The development dependency in a checkout, else the one that npm brings for install scripts. */
function findNodeGyp() {
  try {
    return createRequire(import.meta.url).resolve("node-gyp/bin/node-gyp.js");
  } catch {
    const ofNpm = process.env.npm_config_node_gyp;
    if (ofNpm !== undefined && existsSync(ofNpm)) return ofNpm;
    fail("node-gyp is missing", "run `npm rebuild p2pmem`, which brings its own node-gyp");
  }
}

function checkTools() {
  const runs = (command, ...args) => {
    const [program, ...first] = command.split(" ");
    return spawnSync(program, [...first, ...args], { input: "", stdio: "pipe" }).status === 0;
  };
  const python = process.env.NODE_GYP_FORCE_PYTHON ?? process.env.npm_config_python ?? "python3";
  const compiler = process.env.CXX ?? "c++";
  const missing = [];
  if (!runs("make", "--version")) missing.push("make");
  if (!runs(python, "--version")) missing.push(python);
  if (!runs(compiler, "--version")) missing.push(`a C++ compiler (${compiler})`);
  if (missing.length > 0)
    fail(
      `${missing.join(" and ")} not found`,
      "install make, python3 and g++ (Debian: `apt-get install make python3 g++`)",
    );
  if (!runs(compiler, "-std=c++20", "-fsyntax-only", "-x", "c++", "-"))
    fail(`${compiler} does not know C++20`, "use g++ 10 or later, or clang++ 12 or later, by CXX=");
}

/** Where this Node's own headers are installed: then nothing has to be downloaded. */
function installedHeaders() {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  return existsSync(join(prefix, "include/node/node_api.h")) ? [`--nodedir=${prefix}`] : [];
}

if (isFresh()) process.exit(0);
const nodeGyp = findNodeGyp();
checkTools();
for (const command of [["configure"], ["build", "--jobs=max"]]) {
  const run = spawnSync(
    process.execPath,
    [nodeGyp, ...command, "--release", "--loglevel=error", ...installedHeaders()],
    { cwd: root, encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  if (run.status === 0) continue;
  process.stderr.write(run.stdout + run.stderr);
  fail(`node-gyp ${command[0]} failed`, "the compiler's messages are above");
}
