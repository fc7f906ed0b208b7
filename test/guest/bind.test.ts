/**
 * Bindings on a real kernel. Runs inside the lab only: it gives the lab's devices to the kernel's
 * drivers, uses them there, and takes them again.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, existsSync, mkdirSync, mkdtempSync, openSync } from "node:fs";
import { readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import { BindPlan } from "#lib/host/bind.js";
import { groupFile, Host, pciPath } from "#lib/host/host.js";
import { devicesOf } from "#lib/host/kernel-devices.js";
import { recordPath } from "#lib/host/record.js";
import { targetConditions } from "#lib/host/targets.js";
import { UnbindPlan } from "#lib/host/unbind.js";
import { unusedConditions } from "#lib/host/uses.js";
import { parseBdf, type Bdf } from "#lib/pci/bdf.js";
import { p2pmem } from "../support/command.js";
import { deviceReport } from "../support/result-schema.js";

const host = new Host();

function driverOf(address: string): string | null {
  return host.linkName(pciPath(address, "driver"));
}

function groupOf(address: Bdf): number {
  return Number(host.linkName(pciPath(address, "iommu_group")));
}

/** Runs a program that has to succeed. */
function run(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${stderr}`);
}

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await p2pmem(...args);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The disk of a controller that the nvme driver has, once the driver has found it. */
async function diskOf(address: Bdf): Promise<string> {
  const controllers = pciPath(address, "nvme");
  for (;;) {
    const [controller = ""] = host.list(controllers);
    // The path below the controller is hidden in multipath; both have the same last number.
    const names = host.list(`${controllers}/${controller}`);
    const path = names.find((name) => /^nvme\d+(c\d+)?n\d+$/.test(name));
    const disk = `/dev/${path?.replace(/c\d+/, "")}`;
    if (path !== undefined && existsSync(disk)) return disk;
    await delay(20);
  }
}

describe("bindings on a real kernel", () => {
  let nvme1: Bdf;
  before(() => {
    nvme1 = parseBdf(process.env.NVME1 ?? "");
  });

  /** What binding NVME1 is refused with; it keeps its driver. */
  const refusal = (): P2pError => {
    try {
      new BindPlan(host, [nvme1], {}).run();
    } catch (error) {
      assert.ok(error instanceof P2pError, String(error));
      assert.equal(driverOf(nvme1), "nvme");
      return error;
    }
    throw new assert.AssertionError({ message: "it was bound" });
  };

  const assertBusy = (reason: RegExp): void => {
    const { code, message, device } = refusal();
    assert.deepEqual([code, device], ["DEVICE_BUSY", nvme1]);
    assert.match(message, reason);
  };

  for (const multipath of [false, true])
    describe(`of a controller, multipath ${multipath ? "on" : "off"}`, () => {
      let disk: string;

      before(async () => {
        spawnSync("modprobe", ["--remove", "nvme", "nvme-core"]);
        run("modprobe", "nvme-core", `multipath_always_on=${multipath ? "Y" : "N"}`);
        run("modprobe", "nvme");
        new UnbindPlan(host, [nvme1]).run();
        disk = await diskOf(nvme1);
      });

      after(() => {
        new BindPlan(host, [nvme1], {}).run();
        run("modprobe", "--remove", "nvme", "nvme-core");
      });

      it("unbind has let the kernel choose its driver", () => {
        assert.equal(driverOf(nvme1), "nvme");
        assert.ok(!existsSync(groupFile(groupOf(nvme1))));
      });

      it("bind refuses it while a partition of it is mounted", () => {
        run("modprobe", "ext4");
        const partition = `${disk}p1`;
        // From its second MiB on, in sectors.
        run("addpart", disk, "1", "2048", "100000");
        run("mkfs.ext4", "-q", partition);
        const point = mkdtempSync("/run/mount with space-");
        run("mount", partition, point);
        try {
          assertBusy(new RegExp(`${partition} is mounted on ${point}$`));
        } finally {
          run("umount", point);
          rmdirSync(point);
          run("wipefs", "--all", partition);
          run("delpart", disk, "1");
        }
      });

      it("bind refuses it while it is swap space", () => {
        run("mkswap", disk);
        run("swapon", disk);
        try {
          assertBusy(new RegExp(`${disk} is swap space$`));
        } finally {
          run("swapoff", disk);
          run("wipefs", "--all", disk);
        }
      });

      it("bind refuses it while a volume holds it", () => {
        run("modprobe", "dm-mod");
        run("dmsetup", "create", "p2pmem-test", "--table", `0 2048 linear ${disk} 0`);
        try {
          assertBusy(new RegExp(`${disk} is held by dm-0$`));
        } finally {
          run("dmsetup", "remove", "p2pmem-test");
        }
      });

      it("bind refuses it while a loop device is on it", () => {
        run("modprobe", "loop");
        run("losetup", "--find", disk);
        try {
          assertBusy(new RegExp(`${disk} is behind loop0$`));
        } finally {
          run("losetup", "--detach-all");
        }
      });

      it("bind refuses it while somebody holds it exclusively", () => {
        const fd = openSync(disk, constants.O_RDONLY | constants.O_EXCL);
        try {
          assertBusy(new RegExp(`${disk} is held exclusively`));
        } finally {
          closeSync(fd);
        }
      });

      it("bind refuses it while a program has it open, and names the program", async () => {
        const fd = openSync(disk, "r");
        const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore", fd] });
        closeSync(fd);
        await once(child, "spawn");
        try {
          assertBusy(new RegExp(`${disk} is open in cat \\(pid ${child.pid}\\)$`));
        } finally {
          child.stdin?.end();
          await once(child, "close");
        }
      });

      it("bind refuses it while a program has it open by another name, as in a container", async () => {
        const name = "/run/xvdc";
        run("cp", "-a", disk, name);
        const fd = openSync(name, "r");
        const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore", fd] });
        closeSync(fd);
        await once(child, "spawn");
        try {
          const free = unusedConditions(host, host.pci().get(nvme1)).map(({ shell }) => shell);
          assert.notEqual(spawnSync("sh", ["-c", free.join(" &&\n")]).status, 0);
          assertBusy(new RegExp(`${disk} is open in cat \\(pid ${child.pid}\\)$`));
        } finally {
          child.stdin?.end();
          await once(child, "close");
          rmSync(name);
        }
      });

      it("bind refuses it while the kernel gives it to other hosts, or may do so", () => {
        const configuration = "/sys/kernel/config";
        const subsystem = `${configuration}/nvmet/subsystems/p2pmem`;
        const namespace = `${subsystem}/namespaces/1`;
        // Of these conditions alone: to look for whoever has a disk open is slow here.
        const areMet = (): boolean => {
          const conditions = targetConditions(host, devicesOf(host, nvme1));
          const commands = conditions.map(({ shell }) => shell);
          return spawnSync("sh", ["-c", commands.join(" &&\n")]).status === 0;
        };
        run("modprobe", "nvmet");
        spawnSync("umount", [configuration]);
        try {
          assertBusy(/whether the NVMe-oF target exports it cannot be seen/);
          assert.equal(areMet(), false);
          run("mount", "-t", "configfs", "none", configuration);
          assert.equal(areMet(), true);
          mkdirSync(subsystem);
          mkdirSync(namespace);
          writeFileSync(`${namespace}/device_path`, disk);
          assert.equal(areMet(), true);
          writeFileSync(`${namespace}/enable`, "1");
          assertBusy(new RegExp(`${disk} is exported by the NVMe-oF target \\(${namespace}\\)$`));
          assert.equal(areMet(), false);
        } finally {
          if (existsSync(namespace)) rmdirSync(namespace);
          if (existsSync(subsystem)) rmdirSync(subsystem);
          run("modprobe", "--remove", "nvmet");
        }
      });

      it("the commands of a plan check and bind, when a shell runs them", () => {
        const { commands } = new BindPlan(host, [nvme1], {});
        const script = commands.join(" &&\n");
        const fd = openSync(disk, constants.O_RDONLY | constants.O_EXCL);
        assert.notEqual(spawnSync("sh", ["-c", script]).status, 0, "they look again");
        closeSync(fd);
        assert.equal(driverOf(nvme1), "nvme");
        run("sh", "-c", script);
        assert.equal(driverOf(nvme1), "vfio-pci");
        run("sh", "-c", new UnbindPlan(host, [nvme1]).commands.join(" &&\n"));
        assert.equal(driverOf(nvme1), "nvme");
        assert.ok(!existsSync(recordPath(nvme1)));
      });
    });

  it("a bound device works, and goes back to the driver it had", async () => {
    run("modprobe", "nvme");
    new UnbindPlan(host, [nvme1]).run();
    await diskOf(nvme1);
    const script = await succeed("bind", "--dry-run", nvme1);
    assert.equal(script, `${new BindPlan(host, [nvme1], {}).commands.join(" &&\n")}\n`);
    assert.equal(driverOf(nvme1), "nvme", "a dry run changes nothing");
    const group = groupOf(nvme1);
    const bound = await succeed("bind", nvme1);
    assert.equal(bound, `${nvme1}: nvme -> vfio-pci, IOMMU group ${group}, /dev/vfio/${group}\n`);
    const list = await succeed("list", "--platform", "vfio", "--output-format", "json");
    const found = deviceReport
      .parse(JSON.parse(list))
      .controllers.find(({ address }) => address === nvme1);
    assert.deepEqual([found?.driver, found?.error], ["vfio-pci", null]);
    assert.equal(await succeed("unbind", nvme1), `${nvme1}: vfio-pci -> nvme\n`);
    await diskOf(nvme1);
    new BindPlan(host, [nvme1], {}).run();
  });

  it("unbind refuses a device that a process has, and names the process", async () => {
    const space = addon().openVfioAddressSpace();
    const device = space.openDevice(nvme1);
    try {
      const { code, stderr } = await p2pmem("unbind", nvme1);
      assert.equal(code, 1);
      assert.match(
        stderr,
        new RegExp(`^p2pmem: IN_USE: /dev/vfio/\\d+ is open in .* \\(pid ${process.pid}\\);`),
      );
      assert.equal(driverOf(nvme1), "vfio-pci");
    } finally {
      device.close();
      space.close();
    }
  });

  describe("of a group of two", () => {
    /** The lab's pair: an edu device, and a random number generator that has a driver. */
    let edu: Bdf;
    let rng: Bdf;
    before(() => {
      const found = readdirSync("/sys/bus/pci/devices").find(
        (name) => readFileSync(pciPath(name, "vendor"), "utf8").trim() === "0x1234",
      );
      edu = parseBdf(found ?? "");
      rng = parseBdf(edu.replace(/.$/, "0"));
    });

    it("bind takes both or none", () => {
      assert.throws(() => new BindPlan(host, [edu], {}), { code: "GROUP_NOT_VIABLE" });
      new BindPlan(host, [edu], { group: true }).run();
      assert.deepEqual([rng, edu].map(driverOf), ["vfio-pci", "vfio-pci"]);
    });

    it("bind gives the group's file to a user, unbind takes it back", () => {
      const file = groupFile(groupOf(edu));
      new BindPlan(host, [edu], { group: true, user: "nobody" }).run();
      run("setpriv", "--reuid=nobody", "--clear-groups", "sh", "-c", `true <>${file}`);
      new UnbindPlan(host, [edu]).run();
      assert.equal(statSync(file).uid, 0);
    });

    it("unbind gives them back what they had: a driver, and none", () => {
      new UnbindPlan(host, [rng]).run();
      assert.deepEqual([rng, edu].map(driverOf), ["virtio-pci", null]);
    });

    it("bind takes everything back where its last step fails", () => {
      class FailingHost extends Host {
        override write(path: string, text: string): void {
          if (path.endsWith("drivers_probe") && text === edu) throw new Error("refused");
          super.write(path, text);
        }
      }
      const plan = new BindPlan(new FailingHost(), [rng, edu], {});
      assert.throws(
        () => plan.run(),
        new RegExp(`taken back: ${rng} has virtio-pci, ${edu} has no driver$`),
      );
      assert.deepEqual([rng, edu].map(driverOf), ["virtio-pci", null]);
      for (const address of [rng, edu])
        assert.equal(host.read(pciPath(address, "driver_override")), "(null)");
    });
  });

  it("bind refuses a bridge", () => {
    const port = parseBdf("0000:00:10.0");
    assert.throws(() => new BindPlan(host, [port], {}), { code: "BRIDGE" });
  });
});
