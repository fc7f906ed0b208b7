import assert from "node:assert/strict";
import { join } from "node:path";
import { PciTree } from "#lib/pci/tree.js";
import { readKernelRelease, readRdmaAddress, readTopology } from "#lib/platform/sysfs.js";
import { SysfsTree, type SysfsFunction } from "../../support/sysfs-tree.js";

const PORT = "pci0000:00/0000:00:01.0";
const NVME = `${PORT}/0000:01:00.0`;

const XEON = `processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 106
model name\t: Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz

processor\t: 1
vendor_id\t: AnotherVendor
cpu family\t: 7
`;

describe("reading a machine from sysfs", () => {
  let tree: SysfsTree | undefined;

  afterEach(() => {
    tree?.delete();
    tree = undefined;
  });

  function machine(functions: SysfsFunction[], options?: { cpuinfo: string }): SysfsTree {
    return (tree = new SysfsTree(functions, options));
  }

  function addresses(made: SysfsTree): string[] {
    return readTopology(made.root).functions.map(({ address }) => address);
  }

  it("finds all that the kernel says of a function", () => {
    const made = machine([
      { path: PORT, isBridge: true },
      {
        path: NVME,
        vendor: "0x144d",
        device: "0xa80a",
        driver: "vfio-pci",
        group: 14,
        config: new Uint8Array(256).fill(7),
        resource: [
          "0x00000000fb400000 0x00000000fb403fff 0x0000000000140204",
          "0x0000000000000000 0x0000000000000000 0x0000000000000000",
          "0x0000004000000000 0x0000004003ffffff 0x000000000014220c",
          "",
        ].join("\n"),
        files: {
          numa_node: "1",
          current_link_speed: "8.0 GT/s PCIe",
          current_link_width: "2",
          max_link_speed: "16.0 GT/s PCIe",
          max_link_width: "4",
        },
      },
    ]);
    const [, fn] = readTopology(made.root).functions;
    assert.deepEqual(fn && { ...fn, config: [...fn.config] }, {
      address: "0000:01:00.0",
      parent: "0000:00:01.0",
      hostBridge: "pci0000:00",
      hostBridgeParent: null,
      vendorId: 0x144d,
      deviceId: 0xa80a,
      config: Array<number>(256).fill(7),
      resources: [
        { start: 0xfb400000n, size: 0x4000n, flags: 0x140204n },
        { start: 0n, size: 0n, flags: 0n },
        { start: 0x4000000000n, size: 0x4000000n, flags: 0x14220cn },
      ],
      driver: "vfio-pci",
      iommuGroup: 14,
      iommuDomainType: "DMA",
      numaNode: 1,
      physicalFunction: null,
      link: { speed: 8, width: 2, maxSpeed: 16, maxWidth: 4 },
    });
  });

  it("has null where a function has no driver, group, node or link", () => {
    const [fn] = readTopology(
      machine([{ path: NVME.replace(`${PORT}/`, "pci0000:00/") }]).root,
    ).functions;
    assert.ok(fn);
    assert.deepEqual(
      [fn.parent, fn.driver, fn.iommuGroup, fn.iommuDomainType, fn.numaNode, fn.link],
      [null, null, null, null, null, null],
    );
  });

  it("takes what registers say that do not answer for no link, and node -1 for none", () => {
    const files = {
      numa_node: "-1",
      current_link_speed: "Unknown",
      current_link_width: "63",
      max_link_speed: "Unknown",
      max_link_width: "255",
    };
    const [fn] = readTopology(machine([{ path: PORT, files }]).root).functions;
    assert.deepEqual([fn?.link, fn?.numaNode], [null, null]);
  });

  it("finds host bridges behind other buses, and in domains of five digits", () => {
    const { root } = machine([
      { path: "platform/soc/40000000.pcie/pci0001:00/0001:00:00.0" },
      { path: "pci0000:16/0000:16:05.5" },
      { path: "pci0000:16/0000:16:05.5/pci10000:00/10000:00:02.0", isBridge: true },
      { path: "pci0000:16/0000:16:05.5/pci10000:00/10000:00:02.0/10000:01:00.0" },
    ]);
    const found = readTopology(root).functions.map((fn) => [
      ...[fn.address, fn.parent, fn.hostBridge, fn.hostBridgeParent],
    ]);
    assert.deepEqual(found, [
      ["0000:16:05.5", null, "pci0000:16", null],
      ["0001:00:00.0", null, "pci0001:00", null],
      ["10000:00:02.0", null, "pci10000:00", "0000:16:05.5"],
      ["10000:01:00.0", "10000:00:02.0", "pci10000:00", "0000:16:05.5"],
    ]);
  });

  it("has a virtual function's identity from its files, not from its registers", () => {
    const { root } = machine([
      { path: PORT, isBridge: true },
      { path: NVME },
      {
        path: `${PORT}/0000:01:00.1`,
        physfn: "0000:01:00.0",
        vendor: "0x15b3",
        device: "0x101e",
        config: new Uint8Array(256).fill(0xff, 0, 4),
      },
    ]);
    const vf = new PciTree(readTopology(root)).functions[2];
    assert.deepEqual(
      [vf?.vendorId, vf?.deviceId, vf?.physicalFunction, vf?.answers],
      [0x15b3, 0x101e, "0000:01:00.0", true],
    );
  });

  it("knows the first processor, and another architecture's from none at all", () => {
    assert.deepEqual(readTopology(machine([], { cpuinfo: XEON }).root).cpu, {
      vendor: "GenuineIntel",
      family: 6,
      model: "Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz",
    });
    tree?.delete();
    const arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n";
    assert.deepEqual(readTopology(machine([], { cpuinfo: arm }).root).cpu, {
      ...{ vendor: "0x41", family: 0, model: "" },
    });
    tree?.delete();
    const other = "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\n";
    assert.equal(readTopology(machine([], { cpuinfo: other }).root).cpu?.vendor, "not x86");
    tree?.delete();
    assert.equal(readTopology(machine([], { cpuinfo: "" }).root).cpu, null);
  });

  it("knows the kernel's release", () => {
    assert.equal(readKernelRelease(machine([]).root), "6.12.0-test");
  });

  it("knows the PCI function of an RDMA device, which soft-RoCE has not", () => {
    const { root } = machine([{ path: NVME }]);
    const infiniband = join("sys/devices", NVME, "infiniband/mlx5_0");
    tree!.link(join(infiniband, "device"), join("sys/devices", NVME));
    tree!.link("sys/class/infiniband/mlx5_0", infiniband);
    tree!.write("sys/devices/virtual/infiniband/rxe0/node_type", "1: CA\n");
    tree!.link("sys/class/infiniband/rxe0", "sys/devices/virtual/infiniband/rxe0");
    // Of another bus, as on some processors.
    tree!.write("sys/devices/platform/HISI00D1:00/infiniband/hns_0/node_type", "1: CA\n");
    tree!.link("sys/class/infiniband/hns_0/device", "sys/devices/platform/HISI00D1:00");
    const names = ["mlx5_0", "rxe0", "hns_0", "mlx5_7"];
    const addresses = names.map((name) => readRdmaAddress(name, root));
    assert.deepEqual(addresses, ["0000:01:00.0", null, null, null]);
  });

  it("finds nothing where there is no PCI bus", () => {
    assert.deepEqual(readTopology("/nonexistent"), { functions: [], cpu: null });
  });

  describe("while devices come and go", () => {
    const all = [
      { path: PORT, isBridge: true },
      { path: NVME },
      { path: `${PORT}/0000:01:00.1`, physfn: "0000:01:00.0" },
      { path: `${NVME}/pci10000:00/10000:00:02.0` },
      { path: "pci0000:00/0000:00:02.0" },
    ];

    it("leaves out a function whose directory has gone, and all that hangs from it", () => {
      const made = machine(all);
      made.remove(SysfsTree.file(PORT, ""));
      assert.deepEqual(addresses(made), ["0000:00:02.0"]);
    });

    it("leaves out a function whose files have gone, its virtual functions and its domain", () => {
      const made = machine(all);
      made.remove(SysfsTree.file(NVME, "resource"));
      assert.deepEqual(addresses(made), ["0000:00:01.0", "0000:00:02.0"]);
      assert.equal(new PciTree(readTopology(made.root)).functions.length, 2);
    });

    it("leaves out what is below a bridge that has gone, too", () => {
      const made = machine(all);
      made.remove(SysfsTree.file(PORT, "vendor"));
      assert.deepEqual(addresses(made), ["0000:00:02.0"]);
    });
  });

  it("names the file that holds what no kernel writes", () => {
    const made = machine([{ path: PORT }]);
    made.write(SysfsTree.file(PORT, "resource"), "garbage\n");
    assert.throws(() => readTopology(made.root), {
      code: "BAD_SYSFS",
      message: `${join(made.root, SysfsTree.file(PORT, "resource"))} line 1 is not three numbers`,
    });
  });
});
