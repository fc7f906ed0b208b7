import assert from "node:assert/strict";
import { assertUnused } from "#lib/kernel/unused.js";
import { FakeHost } from "../../support/fake-host.js";

describe("a disk that is to be written", () => {
  let host: FakeHost;

  beforeEach(() => {
    host = new FakeHost();
    const path = host.pciFunction({ address: "0000:03:00.0", driver: "nvme" });
    const disk = `${path}/nvme/nvme0/nvme0n1`;
    host.disk(disk, "259:0");
    host.disk(`${disk}/nvme0n1p1`, "259:1");
    host.link("/sys/dev/block/259:0", disk);
    host.link("/sys/dev/block/259:1", `${disk}/nvme0n1p1`);
  });
  afterEach(() => {
    host.destroy();
  });

  const look = (number: "b259:0" | "b259:1", patienceMs = 0): Promise<void> =>
    assertUnused(host, "/dev/some", number, patienceMs);

  it("must not be mounted, nor a partition of it", async () => {
    await look("b259:0");
    host.file("/proc/self/mountinfo", "36 22 259:1 / /mnt rw - ext4 /dev/nvme0n1p1 rw\n");
    for (const number of ["b259:0", "b259:1"] as const)
      await assert.rejects(look(number), {
        code: "IN_USE",
        message: "/dev/some is not written: /dev/nvme0n1p1 is mounted on /mnt",
      });
  });

  it("must not be held exclusively", async () => {
    host.refusals.set("/dev/nvme0n1", "EBUSY");
    await assert.rejects(look("b259:0"), { code: "IN_USE", message: /held exclusively/ });
    await look("b259:1");
  });

  it("must not be open, but for a moment, as udev has it", async () => {
    host.process(77, "udev-worker", "/dev/nvme0n1");
    await assert.rejects(look("b259:0"), { code: "IN_USE", message: /open in udev-worker/ });
    const looking = look("b259:0", 10_000);
    setImmediate(() => {
      host.removeTree("/proc/77");
    });
    await looking;
  });

  it("must not be a part of one that somebody has open as a whole", async () => {
    host.file("/sys/dev/block/259:1/partition", "1\n");
    host.file("/sys/dev/block/259:1/start", "2048\n");
    host.file("/sys/dev/block/259:1/size", "4096\n");
    await look("b259:1");
    host.process(77, "qemu", "/dev/nvme0n1");
    await assert.rejects(look("b259:1"), { code: "IN_USE", message: /nvme0n1 is open in qemu/ });
  });
});
