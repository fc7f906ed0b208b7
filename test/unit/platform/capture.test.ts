import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { P2pError } from "#lib/errors.js";
import { PciTree } from "#lib/pci/tree.js";
import { readCapture } from "#lib/platform/capture.js";
import { readTopology } from "#lib/platform/sysfs.js";
import { SysfsTree } from "../../support/sysfs-tree.js";

const PORT = "pci0000:00/0000:00:01.0";
const NVME = `${PORT}/0000:01:00.0`;
const file = (name: string): string => SysfsTree.file(NVME, name);

describe("a capture", () => {
  let tree: SysfsTree;

  beforeEach(() => {
    tree = new SysfsTree([
      { path: PORT, isBridge: true, driver: "pcieport", group: 1 },
      { path: NVME, driver: "nvme", group: 2, files: { numa_node: "0" } },
    ]);
  });

  afterEach(() => {
    tree.delete();
  });

  function refusal(directory = tree.root): P2pError {
    try {
      new PciTree(readCapture(directory));
    } catch (error) {
      assert.ok(error instanceof P2pError, String(error));
      assert.ok(error.hint !== undefined);
      return error;
    }
    return assert.fail("it was read");
  }

  it("reads as the machine itself does", () => {
    assert.deepEqual(readCapture(tree.root), readTopology(tree.root));
  });

  const damages: [string, string, () => void][] = [
    ["an empty config", "config", () => tree.write(file("config"), "")],
    ["a config of 63 bytes", "config", () => tree.write(file("config"), new Uint8Array(63))],
    ["a config of 4097 bytes", "config", () => tree.write(file("config"), new Uint8Array(4097))],
    ["no config", "config", () => tree.remove(file("config"))],
    ["an empty resource file", "resource", () => tree.write(file("resource"), "")],
    ["garbage among the resources", "resource", () => tree.write(file("resource"), "0x0 0x0 no")],
    ["a vendor that is no number", "vendor", () => tree.write(file("vendor"), "Samsung\n")],
    ["no device id", "device", () => tree.remove(file("device"))],
    ["a NUMA node that is no number", "numa_node", () => tree.write(file("numa_node"), "near\n")],
    [
      "a file where a link was",
      "driver",
      () => {
        tree.remove(file("driver"));
        tree.write(file("driver"), "nvme");
      },
    ],
    [
      "an IOMMU group without a number",
      "iommu_group",
      () => {
        tree.remove(file("iommu_group"));
        tree.link(file("iommu_group"), "sys/kernel/iommu_groups/none");
      },
    ],
    [
      "a file that cannot be read",
      "config",
      () => {
        tree.remove(file("config"));
        tree.write(join(file("config"), "a directory"), "");
      },
    ],
  ];
  for (const [title, name, damage] of damages)
    it(`with ${title} is refused by the file's name`, () => {
      damage();
      const { code, message } = refusal();
      assert.equal(code, "BAD_CAPTURE");
      assert.ok(message.includes(file(name)), message);
    });

  it("of a function whose directory is missing is refused", () => {
    tree.remove(file(""));
    assert.equal(refusal().code, "BAD_CAPTURE");
  });

  it("without a bridge that something hangs from is no topology", () => {
    tree.remove("sys/bus/pci/devices/0000:00:01.0");
    const { code, message } = refusal();
    assert.equal(code, "BAD_TOPOLOGY");
    assert.match(message, /0000:00:01\.0, the bridge above 0000:01:00\.0, is missing/);
  });

  it("without a physical function of a virtual one is no topology", () => {
    tree.link(file("physfn"), SysfsTree.file(PORT, "0000:01:00.7"));
    const { code, message } = refusal();
    assert.equal(code, "BAD_TOPOLOGY");
    assert.match(message, /0000:01:00\.7, the physical function of 0000:01:00\.0, is missing/);
  });

  it("without a host bridge above a function is no topology", () => {
    tree.remove("sys/bus/pci/devices/0000:01:00.0");
    tree.write("sys/devices/elsewhere/0000:01:00.0/vendor", "");
    tree.link("sys/bus/pci/devices/0000:01:00.0", "sys/devices/elsewhere/0000:01:00.0");
    const { code, message } = refusal();
    assert.equal(code, "BAD_TOPOLOGY");
    assert.match(message, /host bridge/);
  });

  describe("whose links do not lead to the functions' own directories is no topology", () => {
    const links: [string, string][] = [
      ["a link to itself", "0000:01:00.0"],
      ["a link to another function", `../../../devices/${PORT}`],
      ["a link to this machine instead", "/sys/bus/pci"],
    ];
    for (const [title, target] of links)
      it(title, () => {
        tree.remove("sys/bus/pci/devices/0000:01:00.0");
        symlinkSync(target, join(tree.root, "sys/bus/pci/devices/0000:01:00.0"));
        const { code, message } = refusal();
        assert.equal(code, "BAD_TOPOLOGY");
        assert.ok(message.includes("sys/bus/pci/devices/0000:01:00.0"), message);
      });
  });

  it("with something else among the functions is refused", () => {
    tree.link("sys/bus/pci/devices/notes.txt", "sys/devices");
    const { code, message } = refusal();
    assert.equal(code, "BAD_CAPTURE");
    assert.match(message, /notes\.txt/);
  });

  describe("that is none", () => {
    it("because there is no such directory", () => {
      const { code, message } = refusal("/nonexistent");
      assert.deepEqual([code, message], ["BAD_CAPTURE", "there is no directory /nonexistent"]);
    });

    it("because the directory holds something else", () => {
      mkdirSync(join(tree.root, "empty"));
      const { code, message, hint } = refusal(join(tree.root, "empty"));
      assert.equal(code, "BAD_CAPTURE");
      assert.match(message, /has no sys\/bus\/pci\/devices/);
      assert.match(hint ?? "", /capture-topology/);
    });

    it("because it is a file", () => {
      const { code, message } = refusal(join(tree.root, "proc/cpuinfo"));
      assert.equal(code, "BAD_CAPTURE");
      assert.match(message, /is not a directory/);
    });

    it("because it is still packed, and how to unpack it is said", () => {
      const tar = join(tree.root, "capture.tar");
      const packed = execFileSync("tar", ["-c", "-C", tree.root, "sys"]);
      for (const content of [packed, gzipSync(packed)]) {
        writeFileSync(tar, content);
        const { code, message, hint } = refusal(tar);
        assert.equal(code, "BAD_CAPTURE");
        assert.match(message, /is an archive/);
        assert.ok(hint?.includes(`tar -xf ${tar}`), hint);
      }
    });
  });
});
