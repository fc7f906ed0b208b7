import assert from "node:assert/strict";
import type { Condition } from "#lib/host/condition.js";
import { unusedConditions } from "#lib/host/uses.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { FakeHost } from "../../support/fake-host.js";

const ADDRESS = parseBdf("0000:03:00.0");

describe("what uses a device", () => {
  let host: FakeHost;
  let path: string;
  /** Of the disk's directory. */
  let disk: string;

  beforeEach(() => {
    host = new FakeHost();
    path = host.pciFunction({ address: ADDRESS, driver: "nvme", iommuGroup: 1 });
    host.kernelDevice(`${path}/nvme/nvme0`, "nvme", {
      ...{ dev: "241:0\n", uevent: "DEVNAME=nvme0\n" },
    });
    disk = `${path}/nvme/nvme0/nvme0n1`;
    host.disk(disk, "259:0");
    host.disk(`${disk}/nvme0n1p1`, "259:1");
  });

  afterEach(() => {
    host.destroy();
  });

  const conditions = (): Condition[] => unusedConditions(host, host.pci().get(ADDRESS));
  const uses = (): string[] => conditions().flatMap(({ violation }) => violation ?? []);

  const mounted = (number: string, point: string, source: string): void =>
    host.file(
      "/proc/self/mountinfo",
      `22 1 0:20 / /proc rw - proc proc rw\n36 22 ${number} / ${point} rw shared:1 - ext4 ${source} rw\n`,
    );

  it("is nothing where nothing does, and everything is asked for", () => {
    assert.deepEqual(uses(), []);
    const commands = conditions().map(({ shell }) => shell);
    for (const subject of ["mountinfo", "swaps", "holders", "loop", "O_EXCL"])
      assert.equal(
        commands.filter((line) => line.includes(subject)).length,
        2,
        `${subject}, of disk and partition`,
      );
  });

  it("is a mount of a partition, by its number", () => {
    mounted("259:1", "/mnt/with\\040space", "/dev/disk/by-label/x");
    assert.deepEqual(uses(), ["/dev/nvme0n1p1 is mounted on /mnt/with space"]);
  });

  it("is a mount under an anonymous number, by its source", () => {
    mounted("0:44", "/pool", "/dev/nvme0n1p1");
    assert.deepEqual(uses(), ["/dev/nvme0n1p1 is mounted on /pool"]);
  });

  it("is no mount of a device with a longer number or name", () => {
    mounted("259:10", "/mnt", "/dev/nvme0n1p10");
    assert.deepEqual(uses(), []);
  });

  it("is swap space", () => {
    host.file(
      "/proc/swaps",
      "Filename\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/nvme0n1   partition\t262140\t0\t-1\n",
    );
    assert.deepEqual(uses(), ["/dev/nvme0n1 is swap space"]);
  });

  it("is a holder: a volume, an array, a cache", () => {
    host.directory(`${disk}/nvme0n1p1/holders/dm-3`);
    host.directory(`${disk}/nvme0n1p1/holders/md0`);
    assert.deepEqual(uses(), ["/dev/nvme0n1p1 is held by dm-3, md0"]);
  });

  it("is a loop device", () => {
    host.file("/sys/block/loop7/loop/backing_file", "/dev/nvme0n1\n");
    assert.deepEqual(uses(), ["/dev/nvme0n1 is behind loop7"]);
  });

  it("is whoever holds it exclusively, said only where nothing else explains that", () => {
    host.refusals.set("/dev/nvme0n1", "EBUSY");
    assert.match(uses().join(), /^\/dev\/nvme0n1 is held exclusively/);
    mounted("259:1", "/mnt", "/dev/nvme0n1p1");
    assert.deepEqual(uses(), ["/dev/nvme0n1p1 is mounted on /mnt"]);
  });

  it("is unknown where the device's file is missing, which counts as a use", () => {
    host.remove("/dev/nvme0n1");
    assert.deepEqual(uses(), ["whether /dev/nvme0n1 is in use cannot be seen (ENOENT)"]);
  });

  it("is a program that has a file of it open, by name and number", () => {
    host.process(4710, "cat", "/dev/null");
    assert.deepEqual(uses(), []);
    host.process(4711, "postgres", "/dev/nvme0");
    assert.deepEqual(uses(), ["/dev/nvme0 is open in postgres (pid 4711)"]);
  });

  it("is a program that has it open under another name, as containers do", () => {
    host.node("/dev/xvdc", "b259:1");
    host.node("/dev/other", "c259:1");
    host.process(4712, "qemu", "/dev/xvdc");
    host.process(4713, "cat", "/dev/other");
    assert.deepEqual(uses(), ["/dev/nvme0n1p1 is open in qemu (pid 4712)"]);
  });

  it("asks a shell for open files by their kind and number, in hexadecimal, once for all", () => {
    const commands = conditions().map(({ shell }) => shell);
    const [asked, ...others] = commands.filter((line) => line.includes("/proc/[0-9]*/fd"));
    assert.deepEqual(others, []);
    const numbers = [...(asked ?? "").matchAll(/ -e '([^']*)'/g)].map(([, line]) => line).sort();
    assert.deepEqual(numbers, ["^2... f1:0$", "^6... 103:0$", "^6... 103:1$"]);
  });

  describe("given to other hosts", () => {
    const CONFIGFS = "/sys/kernel/config";
    const SUBSYSTEM = `${CONFIGFS}/nvmet/subsystems/nqn.x`;

    const exported = (folder: string, attribute: string, path: string): void => {
      host.file(`${folder}/${attribute}`, `${path}\n`);
      host.file(`${folder}/enable`, "1\n");
    };

    beforeEach(() => {
      host.directory("/sys/module/nvmet");
      host.directory("/sys/module/target_core_mod");
      host.directory(`${CONFIGFS}/nvmet/subsystems`);
      host.directory(`${CONFIGFS}/target/core/alua`);
      host.link("/dev/disk/by-id/x", "/dev/nvme0n1p1");
    });

    it("is a namespace of the NVMe-oF target, by whatever path, while it is enabled", () => {
      assert.deepEqual(uses(), []);
      const namespace = `${SUBSYSTEM}/namespaces/1`;
      exported(namespace, "device_path", "/dev/disk/by-id/x");
      assert.deepEqual(uses(), [`/dev/nvme0n1p1 is exported by the NVMe-oF target (${namespace})`]);
      host.file(`${namespace}/enable`, "0\n");
      assert.deepEqual(uses(), []);
    });

    it("is a controller that the NVMe-oF target passes through", () => {
      exported(`${SUBSYSTEM}/passthru`, "device_path", "/dev/nvme0");
      assert.deepEqual(uses(), [
        `/dev/nvme0 is exported by the NVMe-oF target (${SUBSYSTEM}/passthru)`,
      ]);
    });

    it("is a backstore of the SCSI target", () => {
      const backstore = `${CONFIGFS}/target/core/iblock_0/disk`;
      exported(backstore, "udev_path", "/dev/disk/by-id/x");
      assert.deepEqual(uses(), [`/dev/nvme0n1p1 is exported by the SCSI target (${backstore})`]);
    });

    it("is not another disk", () => {
      host.node("/dev/nvme7n1", "b259:7");
      exported(`${SUBSYSTEM}/namespaces/1`, "device_path", "/dev/nvme7n1");
      assert.deepEqual(uses(), []);
    });

    it("is unknown, which counts as a use, where configfs is not mounted", () => {
      host.removeTree(CONFIGFS);
      assert.deepEqual(
        uses().map((use) => use.slice(0, use.indexOf(":"))),
        [
          "whether the NVMe-oF target exports it cannot be seen",
          "whether the SCSI target exports it cannot be seen",
        ],
      );
    });
  });

  describe("that is a network card", () => {
    const drive = (driver?: string): void => {
      host.pciFunction({
        ...{ address: "0000:04:00.0", classCode: 0x020000, iommuGroup: 2 },
        ...(driver === undefined ? {} : { driver }),
      });
    };
    const found = (): (string | null)[] =>
      unusedConditions(host, host.pci().get(parseBdf("0000:04:00.0"))).map((one) => one.violation);

    it("is one whose interface is not to be seen: another network namespace may have it", () => {
      drive("mlx5_core");
      assert.match(found().join(), /^the network interface that mlx5_core made .* namespace$/);
      const card = host.realPath("/sys/bus/pci/devices/0000:04:00.0");
      host.kernelDevice(`${card}/net/eth1`, "net", { flags: "0x1002\n" });
      assert.deepEqual(found(), [null, null]);
    });

    it("is none without a driver, or with one that makes no interfaces", () => {
      drive();
      assert.deepEqual(found(), []);
      drive("pci-stub");
      assert.deepEqual(found(), []);
    });
  });

  describe("that is a GPU of the nvidia driver", () => {
    const GPU = parseBdf("0000:05:00.0");
    const INFORMATION = `/proc/driver/nvidia/gpus/${GPU}/information`;
    const found = (): (string | null)[] =>
      unusedConditions(host, host.pci().get(GPU)).map((one) => one.violation);

    beforeEach(() => {
      host.pciFunction({ address: GPU, classCode: 0x030200, driver: "nvidia", iommuGroup: 3 });
      host.file(INFORMATION, "Model: \t\t X\nDevice Minor: \t 2\n");
      host.node("/dev/nvidia2", "c195:2");
    });

    it("is a program that has its file open, under whatever name", () => {
      assert.deepEqual(found(), [null]);
      host.node("/dev/gpu", "c195:2");
      host.process(99, "python3", "/dev/gpu");
      assert.deepEqual(found(), ["/dev/nvidia2 is open in python3 (pid 99)"]);
    });

    it("is unknown, which counts as a use, where the file or its number is missing", () => {
      host.remove("/dev/nvidia2");
      host.nodes.delete("/dev/nvidia2");
      assert.match(found().join(), /cannot be seen \(no \/dev\/nvidia2\)$/);
      host.remove(INFORMATION);
      assert.match(found().join(), /cannot be seen \(no \/proc\/driver\/nvidia/);
    });
  });

  it("is whatever uses the disk that multipath puts above the controller's path to it", () => {
    const subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0";
    host.kernelDevice(`${path}/nvme/nvme0/nvme0c0n2`, "block");
    host.disk(`${subsystem}/nvme0n2`, "259:7");
    host.link(`${subsystem}/nvme0`, `${path}/nvme/nvme0`);
    host.link("/sys/class/nvme-subsystem/nvme-subsys0", subsystem);
    mounted("259:7", "/multi", "/dev/nvme0n2");
    assert.deepEqual(uses(), ["/dev/nvme0n2 is mounted on /multi"]);
  });

  it("is not what uses another controller's subsystem", () => {
    const subsystem = "/sys/devices/virtual/nvme-subsystem/nvme-subsys1";
    host.disk(`${subsystem}/nvme1n1`, "259:7");
    host.link(`${subsystem}/nvme1`, "/sys/devices/elsewhere");
    host.link("/sys/class/nvme-subsystem/nvme-subsys1", subsystem);
    mounted("259:7", "/multi", "/dev/nvme1n1");
    assert.deepEqual(uses(), []);
  });

  it("is a network interface that is up, also one below an RDMA device", () => {
    host.kernelDevice(`${path}/net/eth0`, "net", { flags: "0x1002\n" });
    assert.deepEqual(uses(), []);
    host.kernelDevice(`${path}/net/eth0`, "net", { flags: "0x1003\n" });
    assert.deepEqual(uses(), ["network interface eth0 is up"]);
  });

  it("is a display, the boot's or a connected one, and a framebuffer", () => {
    host.file(`${path}/boot_vga`, "1\n");
    host.kernelDevice(`${path}/drm/card0`, "drm");
    host.kernelDevice(`${path}/drm/card0/card0-DP-1`, "drm", { status: "disconnected\n" });
    host.kernelDevice(`${path}/drm/card0/card0-DP-2`, "drm", { status: "connected\n" });
    host.kernelDevice(`${path}/graphics/fb0`, "graphics");
    assert.deepEqual(uses().sort(), [
      "a display is connected to card0-DP-2",
      "it has the framebuffer fb0",
      "it is the display that the machine booted with",
    ]);
  });

  it("is its virtual functions", () => {
    host.file(`${path}/sriov_numvfs`, "0\n");
    assert.deepEqual(uses(), []);
    host.file(`${path}/sriov_numvfs`, "4\n");
    assert.deepEqual(uses(), ["4 of its virtual functions (SR-IOV) are on"]);
  });
});
