import assert from "node:assert/strict";
import { openDeviceFiles } from "#lib/host/processes.js";
import { type Condition, unusedConditions } from "#lib/host/uses.js";
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
    host.kernelDevice(`${path}/nvme/nvme0`, "nvme", { uevent: "DEVNAME=nvme0\n" });
    disk = `${path}/nvme/nvme0/nvme0n1`;
    host.disk(disk, "259:0");
    host.disk(`${disk}/nvme0n1p1`, "259:1");
  });

  afterEach(() => {
    host.destroy();
  });

  const conditions = (): Condition[] => unusedConditions(host, ADDRESS, openDeviceFiles(host));
  const uses = (): string[] => conditions().flatMap(({ violation }) => violation ?? []);

  const mounted = (number: string, point: string, source: string): void =>
    host.file(
      "/proc/self/mountinfo",
      `22 1 0:20 / /proc rw - proc proc rw\n36 22 ${number} / ${point} rw shared:1 - ext4 ${source} rw\n`,
    );

  it("is nothing where nothing does, and everything is asked for", () => {
    assert.deepEqual(uses(), []);
    const commands = conditions().map(({ shell }) => shell);
    for (const subject of ["mountinfo", "swaps", "holders", "loop", "/proc/[0-9]*/fd", "O_EXCL"])
      assert.equal(
        commands.filter((line) => line.includes(subject)).length,
        subject.startsWith("/proc") ? 3 : 2,
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
