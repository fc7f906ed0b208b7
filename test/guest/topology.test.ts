import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readCapture } from "#lib/platform/capture.js";
import { readKernelRelease, readTopology } from "#lib/platform/sysfs.js";
import { bin } from "../support/command.js";
import { SysfsTree } from "../support/sysfs-tree.js";
import { topologyReport } from "../support/topology-schema.js";

const script = fileURLToPath(new URL("../../scripts/capture-topology", import.meta.url));
const NOBODY = 65534;

type Report = ReturnType<typeof topologyReport.parse>;

/** `p2pmem topology` of this machine, as some user. */
function topology(uid: number): Report {
  const words = [bin, "topology", "--platform", "vfio", "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { uid, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return topologyReport.parse(JSON.parse(stdout));
}

describe("the topology of a real kernel", () => {
  let root: Report;

  before(() => {
    root = topology(0);
  });

  it("is the same by its capture, but for what is left out on purpose", () => {
    const directory = mkdtempSync(join(tmpdir(), "p2pmem-capture-"));
    try {
      const tar = join(directory, "topology.tar");
      const made = spawnSync("dash", [script, tar], { encoding: "utf8" });
      assert.equal(made.status, 0, made.stderr);
      assert.equal(made.stderr, "");
      mkdirSync(join(directory, "unpacked"));
      assert.equal(spawnSync("tar", ["-xf", tar, "-C", join(directory, "unpacked")]).status, 0);
      assert.deepEqual(readCapture(join(directory, "unpacked")), readTopology());
      assert.equal(readKernelRelease(join(directory, "unpacked")), readKernelRelease());
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("has the lab's switch, and the devices with memory as providers", () => {
    const { functions, matrix, cpu } = root;
    assert.ok(cpu !== null);
    const kindOf = (address: string | null) => functions.find((fn) => fn.address === address);
    const above = (name: string): (string | null)[] => {
      const chain = [];
      for (let fn = kindOf(process.env[name]!); fn; fn = kindOf(fn.parent))
        chain.push(fn.port_type);
      return chain;
    };
    const below = ["endpoint", "downstream-port", "upstream-port", "root-port"];
    assert.deepEqual(above("NVME_CMB"), below);
    assert.deepEqual(above("NVME2"), ["endpoint", "root-port"]);
    const providers = new Set(matrix.map(({ provider }) => provider));
    for (const name of ["NVME_CMB", "CARD", "NVME2"])
      assert.ok(providers.has(process.env[name]!), name);
    assert.ok(!providers.has(process.env.NVME1!));
    const distance = (provider: string, client: string): number | undefined =>
      matrix.find(
        (pair) => pair.provider === process.env[provider] && pair.client === process.env[client],
      )?.distance;
    assert.deepEqual(
      [distance("CARD", "NVME1"), distance("CARD", "NVME2"), distance("NVME_CMB", "NVME_CMB")],
      [4, 6, 0],
    );
  });

  it("knows a user's limits: what 64 bytes do not hold is unknown, and the rest is the same", () => {
    const user = topology(NOBODY);
    const open = ({ functions }: Report) =>
      functions.map(({ address, parent, bars, windows, link, iommu_group, driver }) => [
        ...[address, parent, bars, windows, link, iommu_group, driver],
      ]);
    assert.deepEqual(open(user), open(root));
    for (const { kind, port_type, acs, config_bytes } of user.functions) {
      assert.equal(config_bytes, 64);
      if (kind === "PCI bridge") assert.deepEqual([port_type, acs], [null, null]);
    }
  });

  it("that hides it is no reason to fail for who did not ask for this machine", () => {
    const port = "pci0000:00/0000:00:01.0";
    const tree = new SysfsTree([{ path: port, resource: "hidden\n" }]);
    try {
      // For this process and its children only.
      const hide = `mount --bind "${tree.root}/sys" /sys && exec "$@"`;
      const words = ["--mount", "sh", "-c", hide, "sh", process.execPath, bin, "topology"];
      const { status, stdout, stderr } = spawnSync("unshare", words, { encoding: "utf8" });
      assert.equal(status, 0, stderr);
      assert.match(
        stdout.replaceAll("\n", " "),
        /^the loopback machine "default", since this machine cannot be read: \S+\/resource line 1/,
      );
    } finally {
      tree.delete();
    }
  });
});
