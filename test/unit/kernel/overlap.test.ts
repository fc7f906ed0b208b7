import assert from "node:assert/strict";
import { checkRanges } from "#lib/kernel/check.js";
import { diskPlace, disksBelow } from "#lib/kernel/disks.js";
import type { DeviceNumber } from "#lib/host/host.js";
import type { KernelTarget } from "#lib/kernel/target.js";
import { FakeHost } from "../../support/fake-host.js";
import { kernelPlan } from "../../support/kernel-plan.js";

const MIB = 2 ** 20;
const DISK = "b8:0";
const PARTITIONS = ["b8:1", "b8:2"] as const;
/** On the second partition. */
const VOLUMES = ["b253:0", "b253:1"] as const;

describe("source and destination of a copy by the kernel", () => {
  let host: FakeHost;

  before(() => {
    host = new FakeHost();
    const device = (path: string, number: string, files: Record<string, string>): void => {
      for (const [name, text] of Object.entries({ dev: number, ...files }))
        host.file(`${path}/${name}`, `${text}\n`);
      host.link(`/sys/dev/block/${number}`, path);
    };
    const disk = "/sys/devices/virtual/block/sda";
    device(disk, "8:0", { size: String(64 * 2048) });
    const half = { partition: "1", size: String(16 * 2048) };
    device(`${disk}/sda1`, "8:1", { ...half, start: String(16 * 2048) });
    device(`${disk}/sda2`, "8:2", { ...half, start: String(32 * 2048) });
    for (const [index, number] of ["253:0", "253:1"].entries()) {
      const path = `/sys/devices/virtual/block/dm-${index}`;
      device(path, number, { size: String(8 * 2048) });
      host.link(`${path}/slaves/sda2`, `${disk}/sda2`);
    }
  });
  after(() => {
    host.destroy();
  });

  const target = (number: DeviceNumber, isDisk: boolean, identity: string): KernelTarget => ({
    ...{ endpoint: { file: isDisk ? `/dev/${number}` : `/mnt/${identity}`, offset: 0 }, fd: -1 },
    ...{ size: 64 * MIB, blockSize: 512, isDisk, identity, clients: [], notes: [] },
    ...{ place: diskPlace(host, number), disks: disksBelow(host, number), close: () => undefined },
  });
  const device = (number: DeviceNumber): KernelTarget => target(number, true, number);
  const file = (on: DeviceNumber, name = "file"): KernelTarget => target(on, false, `${on}${name}`);

  /** Copies of 4 MiB, from `from` of the one to `to` of the other, MiB, both ways. */
  const refusal = (one: KernelTarget, other: KernelTarget, from = 0, to = 0): string => {
    const plan = kernelPlan({ rw: "copy", size: 4 * MIB });
    const at = (each: KernelTarget, offset: number): KernelTarget => ({
      ...each,
      endpoint: { ...each.endpoint, offset: offset * MIB },
    });
    const ways = [
      [at(one, from), at(other, to)],
      [at(other, to), at(one, from)],
    ];
    const found = ways.map((targets) => {
      try {
        checkRanges(plan, targets);
        return "";
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        assert.equal(code, "OVERLAP");
        return message.replace(/: .*/, "");
      }
    });
    assert.equal(found[0], found[1], "both ways");
    return found[0]!;
  };
  const MAY = "source and destination may overlap, since they are on the same disk";

  it("must not meet on one device, or in one file", () => {
    assert.equal(refusal(device(DISK), device(DISK), 0, 3), "source and destination overlap");
    assert.equal(refusal(device(DISK), device(DISK), 0, 4), "");
    assert.equal(refusal(file(DISK), file(DISK), 0, 1), "source and destination overlap");
    assert.equal(refusal(file(DISK), file(DISK, "other")), "");
  });

  it("must not meet in a partition and its disk", () => {
    const [first, second] = PARTITIONS.map(device) as [KernelTarget, KernelTarget];
    assert.equal(refusal(device(DISK), first, 18, 0), MAY);
    assert.equal(refusal(device(DISK), first, 12, 0), "");
    assert.equal(refusal(device(DISK), first, 20, 0), "");
    assert.equal(refusal(first, second), "");
  });

  it("must not be a file and what its file system is on", () => {
    assert.equal(refusal(file(PARTITIONS[0]), device(PARTITIONS[0]), 0, 8), MAY);
    assert.equal(refusal(file(PARTITIONS[0]), device(DISK), 0, 20), MAY);
    assert.equal(refusal(file(PARTITIONS[0]), device(DISK), 0, 40), "");
    assert.equal(refusal(file(PARTITIONS[0]), device(PARTITIONS[1])), "");
    assert.equal(refusal(file(VOLUMES[0]), device(PARTITIONS[1])), MAY);
  });

  it("must not be a volume and a disk below it", () => {
    const [first, second] = VOLUMES.map(device) as [KernelTarget, KernelTarget];
    assert.equal(refusal(first, device(DISK)), MAY);
    assert.equal(refusal(first, second), "");
  });
});
