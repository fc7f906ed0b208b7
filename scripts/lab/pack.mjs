// What Node loads again and again inside the lab, in one file that the guest unpacks into its memory: to
// open a file of the host's is three round trips to QEMU each time, cached or not, and a command loads 200.

import { existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { capture } from "./command.mjs";

/** What Node reads of a package, of the compiler's output, and of the addon. */
const LOADED = /\.(?:[cm]?js|json|node)$/;

/** The packages that the program itself needs, by npm's list of what is installed. */
function packages(directory) {
  const lock = join(directory, "package-lock.json");
  if (!existsSync(lock)) return [];
  return Object.entries(JSON.parse(readFileSync(lock, "utf8")).packages)
    .filter(([path, { dev, link }]) => path !== "" && dev !== true && link !== true)
    .map(([path]) => path);
}

/** The directories that lead to a path, the first one first. */
function above(path) {
  const parent = dirname(path);
  return parent === "/" ? [] : [...above(parent), parent];
}

/** Writes the archive: a cpio of the repository in `directory`, by names from the root on. */
export function writePack(directory, file) {
  // With the directories, whose owners and modes are the host's then, too.
  const names = new Set();
  const add = (path) => {
    for (const name of [...above(path), path]) names.add(name);
  };
  for (const part of ["dist", "dist-test", "build/Release", ...packages(directory)]) {
    const path = join(directory, part);
    if (!existsSync(path)) continue;
    const real = realpathSync(path);
    for (const name of readdirSync(real, { recursive: true }))
      if (LOADED.test(name) && !/(?:^|\/)(?:obj\.target|node_modules)\//.test(name))
        add(join(real, name));
  }
  const list = [...names].map((name) => `${name.slice(1)}\n`).join("");
  const archive = capture("cpio", ["-o", "-H", "newc", "--quiet"], {
    cwd: "/",
    input: list,
    stdio: ["pipe", "pipe", "pipe"],
  });
  writeFileSync(file, archive);
}
