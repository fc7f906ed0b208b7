/**
 * Runs inside the lab only, started by test/lab/kernel-p2pdma.test.ts: gives all NVMe controllers to the
 * kernel's driver, which publishes their CMBs, and prints what the kernel and p2pmem say of each pair.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readTopology } from "#lib/platform/sysfs.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { peerPath } from "#lib/pci/peer-path.js";
import { PciTree } from "#lib/pci/tree.js";
import { giveToKernel } from "../support/kernel-driver.js";

const DEVICES = "/sys/bus/pci/devices";
const PYTHON = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
const SCRIPT = fileURLToPath(new URL("../../test/guest/kernel-p2pdma.py", import.meta.url));

/** Of a provider and a client: what the kernel did, and what p2pmem says that it does. */
export interface Comparison {
  provider: string;
  client: string;
  /** `right`, `wrong` (data), or the name of an errno. */
  outcome: string;
  mapType: string;
  reason: string;
}

const controllers = new PciTree(readTopology()).functions.filter((fn) => fn.isNvme);

const clients: Record<string, string> = {};
const providers: Record<string, string> = {};
for (const { address } of controllers) {
  clients[address] = await giveToKernel(address);
  const allocate = `${DEVICES}/${address}/p2pmem/allocate`;
  if (existsSync(allocate)) providers[address] = allocate;
}
const { stdout, stderr } = spawnSync(PYTHON, [SCRIPT], {
  input: JSON.stringify({ providers, clients }),
  encoding: "utf8",
});
process.stderr.write(stderr);

const tree = new PciTree(readTopology());
const comparisons = (JSON.parse(stdout) as [string, string, string][]).map(
  ([provider, client, outcome]): Comparison => {
    const { kernel } = peerPath(tree, tree.get(parseBdf(provider)), tree.get(parseBdf(client)));
    return { provider, client, outcome, mapType: kernel.mapType, reason: kernel.reason };
  },
);
process.stdout.write(`${JSON.stringify(comparisons)}\n`);
