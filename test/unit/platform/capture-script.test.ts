import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readCapture } from "#lib/platform/capture.js";
import { readKernelRelease, readTopology } from "#lib/platform/sysfs.js";
import { configBytes, LIST_AT_40 } from "../../support/config-bytes.js";
import { SysfsTree } from "../../support/sysfs-tree.js";

const script = fileURLToPath(new URL("../../../scripts/capture-topology", import.meta.url));
const PORT = "pci0000:00/0000:00:01.0";
const NVME = `${PORT}/0000:01:00.0`;
const CPUINFO = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\n";

/** With VPD behind another capability, and a serial number behind another extended one. */
const WITH_SERIALS = configBytes(
  4096,
  ...LIST_AT_40,
  ...([
    [0x40, 2, 0x5010],
    [0x50, 2, 0x0003],
    [0x54, 4, 0x53455249],
  ] as const),
  ...([
    [0x100, 4, 0x1481_0001],
    [0x148, 4, 0x0001_0003],
    [0x14c, 4, 0x89abcdef],
    [0x150, 4, 0x01234567],
    [0x154, 4, 0xa5a5a5a5],
  ] as const),
);

describe("scripts/capture-topology", () => {
  let tree: SysfsTree;

  beforeEach(() => {
    tree = new SysfsTree(
      [
        { path: PORT, isBridge: true, driver: "pcieport", group: 1 },
        {
          path: NVME,
          config: WITH_SERIALS,
          driver: "nvme",
          group: 2,
          files: { numa_node: "1", current_link_speed: "16.0 GT/s PCIe", max_link_width: "4" },
        },
        { path: `${PORT}/0000:01:00.1`, physfn: "0000:01:00.0" },
        { path: `${NVME}/pci10000:00/10000:00:02.0` },
      ],
      { cpuinfo: `${CPUINFO}\n${CPUINFO}` },
    );
  });

  afterEach(() => {
    tree.delete();
  });

  function capture(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return captureWith({}, ...args);
  }

  function captureWith(environment: NodeJS.ProcessEnv, ...args: string[]) {
    const env = { ...process.env, P2PMEM_CAPTURE_ROOT: tree.root, ...environment };
    return spawnSync(script, args, { cwd: tree.root, env, encoding: "utf8" });
  }

  function captured(): string {
    const { status, stderr } = capture("a capture.tar");
    assert.equal(status, 0, stderr);
    const directory = join(tree.root, "unpacked");
    mkdirSync(directory);
    const tar = spawnSync("tar", ["-xf", join(tree.root, "a capture.tar"), "-C", directory]);
    assert.equal(tar.status, 0, String(tar.stderr));
    return directory;
  }

  it("packs all that reading the machine itself finds", () => {
    const { functions, ...rest } = readTopology(tree.root);
    const directory = captured();
    const copy = readCapture(directory);
    const without = (list: typeof functions) => list.map((fn) => ({ ...fn, config: null }));
    assert.deepEqual(without(copy.functions), without(functions));
    assert.deepEqual({ ...rest, functions: [] }, { ...copy, functions: [] });
    assert.equal(readKernelRelease(directory), "6.12.0-test");
  });

  it("keeps configuration space but for the serial number and the last word of VPD", () => {
    const expected = Buffer.from(WITH_SERIALS);
    expected.fill(0, 0x54, 0x58);
    expected.fill(0, 0x14c, 0x154);
    const fn = readCapture(captured()).functions.find(({ address }) => address === "0000:01:00.0");
    assert.ok(fn);
    assert.deepEqual(Buffer.from(fn.config), expected);
    assert.equal(new ConfigSpace(fn.config).read32(0x154), 0xa5a5a5a5);
  });

  it("keeps one processor", () => {
    assert.equal(readFileSync(join(captured(), "proc/cpuinfo"), "utf8"), `${CPUINFO}\n`);
  });

  it("says how much it packed, and where configuration space was cut", () => {
    const whole = capture();
    const packed = join(tree.root, "topology.tar");
    const { size } = statSync(packed);
    assert.equal(whole.stdout, `${packed}: 4 PCI functions, ${size} bytes\n`);
    assert.equal(whole.stderr, "");
    tree.write(SysfsTree.file(NVME, "config"), WITH_SERIALS.subarray(0, 64));
    const cut = capture();
    assert.equal(cut.status, 0);
    assert.match(cut.stderr, /^capture-topology: .* of 1 functions.* cut at 64 bytes.*root\n$/);
  });

  it("refuses what it does not understand with 2, and explains itself", () => {
    for (const args of [["--frobnicate"], ["a.tar", "b.tar"]]) {
      const { status, stderr } = capture(...args);
      assert.equal(status, 2);
      assert.match(stderr, /^capture-topology: .*--help\n$/);
    }
    const { status, stdout } = capture("--help");
    assert.equal(status, 0);
    assert.match(stdout, /^Usage: capture-topology \[FILE\.tar\]/);
  });

  it("leaves nothing where there is no PCI bus or the file cannot be written", () => {
    assert.notEqual(capture("no such directory/a.tar").status, 0);
    tree.remove("sys/bus");
    const { status, stderr } = capture("none.tar");
    assert.equal(status, 1);
    assert.match(stderr, /no PCI bus/);
    assert.equal(statSync(join(tree.root, "none.tar"), { throwIfNoEntry: false }), undefined);
  });

  it("says that there are no PCI functions, and writes nothing", () => {
    tree.remove("sys/bus/pci/devices");
    mkdirSync(join(tree.root, "sys/bus/pci/devices"));
    const { status, stderr } = capture("none.tar");
    assert.equal(status, 1);
    assert.match(stderr, /^capture-topology: there are no PCI functions in .*\n$/);
    assert.equal(statSync(join(tree.root, "none.tar"), { throwIfNoEntry: false }), undefined);
  });

  it("leaves out what has gone since it was listed, and says so", () => {
    // xargs runs once all functions are listed, and before the first is copied.
    const links = ["0000:01:00.0", "0000:01:00.1", "10000:00:02.0"];
    const gone = [
      ...[NVME, `${PORT}/0000:01:00.1`].map((folder) => `${tree.root}/sys/devices/${folder}`),
      ...links.map((name) => `${tree.root}/sys/bus/pci/devices/${name}`),
    ];
    const tools = join(tree.root, "tools");
    tree.write(
      "tools/xargs",
      `#!/bin/sh\nrm -rf ${gone.join(" ")}\nPATH=\${PATH#*:} exec xargs "$@"\n`,
    );
    chmodSync(join(tools, "xargs"), 0o755);
    const path = `${tools}:${process.env.PATH ?? ""}`;
    const { status, stdout, stderr } = captureWith({ PATH: path }, "rest.tar");
    assert.equal(status, 0, stderr);
    assert.match(stdout, /: 1 PCI functions/);
    assert.equal(stderr, "capture-topology: 3 functions have gone meanwhile and are left out\n");
    const directory = join(tree.root, "rest");
    mkdirSync(directory);
    spawnSync("tar", ["-xf", join(tree.root, "rest.tar"), "-C", directory]);
    assert.deepEqual(
      readCapture(directory).functions.map(({ address }) => address),
      ["0000:00:01.0"],
    );
  });

  it("fails by name where a function's configuration space cannot be read", () => {
    tree.remove(SysfsTree.file(NVME, "config"));
    writeFileSync(join(tree.root, "kept.tar"), "");
    const { status, stderr } = capture("kept.tar");
    assert.equal(status, 1);
    assert.ok(stderr.includes(SysfsTree.file(NVME, "config")), stderr);
    assert.equal(statSync(join(tree.root, "kept.tar")).size, 0);
  });
});
