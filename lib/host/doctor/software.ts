import { readFileSync } from "node:fs";
import { P2pError } from "../../errors.js";
import type { Host } from "../host.js";
import { type Check, results } from "./check.js";

export function checkNode(host: Host): Check {
  const { pass, fail } = results("node");
  const wanted = requiredNode();
  const evidence = `Node.js ${host.nodeVersion}`;
  return compareVersions(host.nodeVersion, wanted) >= 0
    ? pass(evidence)
    : fail(evidence, `install Node.js ${wanted} or later`);
}

export function checkAddon(host: Host): Check {
  const { pass, fail } = results("addon");
  try {
    host.addon();
    return pass("p2pmem.node loads");
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    return fail(error.message, error.hint ?? "npm rebuild p2pmem");
  }
}

/** As package.json has it in `engines`. */
function requiredNode(): string {
  const file = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  const { engines } = JSON.parse(file) as { engines: { node: string } };
  return engines.node.replace(/^>=/, "");
}

/** Below 0 where `a` is the earlier; what follows the numbers (`-rc1`, `+deb13`) does not count. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [numbersOf(a), numbersOf(b)];
  const length = Math.max(x.length, y.length);
  for (let index = 0; index < length; index++) {
    const difference = (x[index] ?? 0) - (y[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersOf(version: string): number[] {
  return /^[\d.]*/.exec(version)![0].split(".").map(Number);
}
