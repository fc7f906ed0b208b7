import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { BindPlan, type BindOptions } from "#lib/host/bind.js";
import { recordPath } from "#lib/host/record.js";
import { UnbindPlan } from "#lib/host/unbind.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { FakeHost } from "../../support/fake-host.js";

const PORT = parseBdf("0000:00:01.0");
const NVME = parseBdf("0000:03:00.0");
const PAIR = [parseBdf("0000:04:00.0"), parseBdf("0000:04:00.1")] as const;
const [RNG, EDU] = PAIR;
const BARE = parseBdf("0000:05:00.0");

describe("bindings", () => {
  let host: FakeHost;

  beforeEach(() => {
    host = new FakeHost();
    host.driver("nvme");
    host.driver("virtio-pci");
    host.pciFunction({
      ...{ address: PORT, isBridge: true, classCode: 0x060400 },
      ...{ driver: "pcieport", iommuGroup: 1 },
    });
    host.pciFunction({
      ...{ address: NVME, parent: PORT, driver: "nvme", natural: "nvme", iommuGroup: 1 },
    });
    host.pciFunction({ address: RNG, driver: "virtio-pci", natural: "virtio-pci", iommuGroup: 2 });
    host.pciFunction({ address: EDU, iommuGroup: 2 });
    host.pciFunction({ address: BARE, driver: "nvme", natural: "nvme" });
  });

  afterEach(() => {
    host.destroy();
  });

  /** Drivers of the devices that the tests bind. */
  const drivers = (): (string | null)[] => [NVME, ...PAIR].map((address) => host.driverOf(address));
  const NATURAL = ["nvme", "virtio-pci", null];

  const bind = (addresses: readonly string[], options: BindOptions = {}): BindPlan => {
    const plan = new BindPlan(host, addresses.map(parseBdf), options);
    plan.run();
    return plan;
  };
  const unbind = (...addresses: string[]): UnbindPlan => {
    const plan = new UnbindPlan(host, addresses.map(parseBdf));
    plan.run();
    return plan;
  };

  /** What is refused, and that no attribute was written. */
  const refusal = (work: () => unknown): P2pError => {
    const before = host.actions.filter((action) => action.includes(" > ")).length;
    try {
      work();
    } catch (error) {
      assert.ok(error instanceof P2pError, String(error));
      assert.equal(host.actions.filter((action) => action.includes(" > ")).length, before);
      return error;
    }
    throw new assert.AssertionError({ message: "nothing was refused" });
  };

  describe("bind", () => {
    it("gives a device to vfio-pci, below a bridge of its group that keeps its driver", () => {
      const { devices } = bind([NVME]);
      assert.deepEqual(devices, [
        {
          ...{ address: NVME, changed: true, earlier_driver: "nvme", driver: "vfio-pci" },
          ...{ iommu_group: 1, file: "/dev/vfio/1", user: null },
        },
      ]);
      assert.deepEqual(drivers(), ["vfio-pci", "virtio-pci", null]);
      assert.equal(host.driverOf(PORT), "pcieport");
    });

    it("says so where vfio-pci has it already, and writes nothing", () => {
      bind([NVME]);
      const before = host.actions.length;
      const { devices, commands } = bind([NVME]);
      assert.equal(devices[0]?.changed, false);
      assert.deepEqual(commands, []);
      assert.equal(host.actions.length, before);
    });

    it("changes nothing while it is only a plan, which says everything as shell commands", () => {
      const { commands } = new BindPlan(host, [NVME], {});
      assert.deepEqual(drivers(), NATURAL);
      const device = `/sys/bus/pci/devices/${NVME}`;
      assert.deepEqual(commands.slice(-7), [
        `mkdir -p /run/p2pmem/bindings && echo '{"id":"0x1b36 0x0010","driver":"nvme","driver_override":null}' >/run/p2pmem/bindings/${NVME}`,
        commands.slice(0, -7).join(" &&\n"),
        `echo ${NVME} >${device}/driver/unbind`,
        `echo vfio-pci >${device}/driver_override`,
        `echo ${NVME} >/sys/bus/pci/drivers_probe`,
        `[ "$(basename "$(readlink ${device}/driver)")" = vfio-pci ]`,
        "[ -e /dev/vfio/1 ]",
      ]);
    });

    it("loads vfio-pci where it is not loaded", () => {
      host.removeDriver("vfio-pci");
      const { commands } = bind([NVME]);
      assert.ok(commands.includes("modprobe vfio-pci"));
      assert.ok(host.actions.includes("modprobe vfio-pci"));
      assert.equal(host.driverOf(NVME), "vfio-pci");
    });

    it("refuses what it cannot have: NO_VFIO", () => {
      host.removeDriver("vfio-pci");
      host.canLoadModules = false;
      const { code, message } = refusal(() => bind([NVME]));
      assert.equal(code, "NO_VFIO");
      assert.match(message, /modprobe --dry-run --quiet vfio-pci failed: .*not found/);
    });

    it("refuses a bridge", () => {
      assert.equal(refusal(() => bind([NVME, PORT])).code, "BRIDGE");
    });

    it("refuses a device that is not there", () => {
      assert.equal(refusal(() => bind(["0000:77:00.0"])).code, "UNKNOWN_DEVICE");
    });

    it("refuses a device without an IOMMU group, with the kernel's parameter", () => {
      host.file("/proc/cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu vme\n");
      const { code, hint } = refusal(() => bind([BARE]));
      assert.equal(code, "NO_IOMMU");
      assert.match(hint ?? "", /^switch VT-d on .*add intel_iommu=on to the kernel command line/);
    });

    it("refuses users other than root", () => {
      host.facts.uid = 1000;
      const { code, hint } = refusal(() => bind([NVME]));
      assert.equal(code, "PERMISSION");
      assert.match(hint ?? "", /sudo p2pmem bind/);
    });

    it("refuses a device in use, and with it all the others", () => {
      host.file(`/sys/bus/pci/devices/${RNG}/sriov_numvfs`, "2\n");
      const { code, message, device } = refusal(() => bind([NVME, RNG, EDU]));
      assert.deepEqual([code, device], ["DEVICE_BUSY", RNG]);
      assert.match(message, /is in use: 2 of its virtual functions/);
      assert.deepEqual(drivers(), NATURAL);
    });

    it("refuses a part of a group whose rest has another driver, naming it", () => {
      const { code, message, hint } = refusal(() => bind([EDU]));
      assert.equal(code, "GROUP_NOT_VIABLE");
      assert.match(message, new RegExp(`group 2 of ${EDU} is shared with ${RNG} \\(virtio-pci\\)`));
      assert.match(hint ?? "", /--group/);
    });

    it("takes a part of a group whose rest has no driver, as the kernel does", () => {
      bind([RNG]);
      assert.deepEqual(drivers(), ["nvme", "vfio-pci", null]);
    });

    it("takes the rest of the group as well where it is asked to", () => {
      const { devices } = bind([EDU], { group: true });
      assert.deepEqual(drivers(), ["nvme", "vfio-pci", "vfio-pci"]);
      assert.deepEqual(
        devices.map(({ address, changed }) => [address, changed]),
        PAIR.map((address) => [address, true]),
      );
    });

    it("completes a group of which a part is bound already", () => {
      host.write("/sys/bus/pci/drivers/vfio-pci/bind", EDU);
      assert.equal(refusal(() => bind([EDU])).code, "GROUP_NOT_VIABLE");
      const { devices } = bind([EDU], { group: true });
      assert.deepEqual(drivers(), ["nvme", "vfio-pci", "vfio-pci"]);
      assert.deepEqual(
        devices.map(({ changed }) => changed),
        [true, false],
      );
    });

    it("cannot take a group with a bridge that has a driver of its own, and offers no --group", () => {
      const address = parseBdf("0000:00:1f.0");
      host.pciFunction({ address, classCode: 0x060100, driver: "lpc_ich", iommuGroup: 1 });
      const { code, hint } = refusal(() => bind([NVME], { group: true }));
      assert.equal(code, "GROUP_NOT_VIABLE");
      assert.doesNotMatch(hint ?? "", /--group/);
    });

    it("gives the groups' files to a user", () => {
      const { devices } = bind([NVME, EDU], { group: true, user: "alice" });
      assert.deepEqual(
        [...host.owners],
        [
          ["/dev/vfio/1", 1000],
          ["/dev/vfio/2", 1000],
        ],
      );
      assert.ok(devices.every(({ user }) => user === "alice"));
    });

    it("refuses an unknown user, as a mistake in the arguments", () => {
      const error = refusal(() => bind([NVME], { user: "nobody-here" }));
      assert.equal(error.code, "BAD_USER");
      assert.ok(error.isUsage);
    });

    it("lets udev finish before it gives a group's file away, and looks whether it stays so", () => {
      bind([NVME], { user: "alice" });
      assert.equal(host.actions.at(-1), "udevadm settle --timeout=10");
      host.chown = () => undefined;
      assert.throws(() => bind([NVME], { user: "bob" }), {
        code: "BIND_FAILED",
        message: /\/dev\/vfio\/1 belongs to user 1000, not to bob/,
      });
    });

    it("leaves a group's file that somebody has open with its user", () => {
      bind([NVME], { user: "alice" });
      host.refusals.set("/dev/vfio/1", "EBUSY");
      host.process(816, "qemu", "/dev/vfio/1");
      const { code, message } = refusal(() => bind([NVME], { user: "bob" }));
      assert.equal(code, "IN_USE");
      assert.match(message, /qemu \(pid 816\)/);
      assert.equal(host.owners.get("/dev/vfio/1"), 1000);
      // Nothing would change for its own user.
      bind([NVME], { user: "alice" });
    });

    it("looks again right before a device is detached, and gives the others back", () => {
      host.node("/dev/hwrng", "c10:183");
      host.kernelDevice(`/sys/devices/pci0000:00/${RNG}/rng`, "misc", {
        ...{ dev: "10:183\n", uevent: "DEVNAME=hwrng\n" },
      });
      const detached = `${NVME} > /sys/bus/pci/devices/${NVME}/driver/unbind`;
      host.beforeChange = (action) => {
        if (action !== detached) return;
        host.process(817, "dd", "/dev/hwrng");
        host.beforeChange = () => undefined;
      };
      assert.throws(() => bind([NVME, RNG]), {
        code: "DEVICE_BUSY",
        message: new RegExp(`^${RNG} is in use: /dev/hwrng is open in dd .*${NVME} has nvme`),
      });
      assert.deepEqual(drivers(), NATURAL);
      assert.ok(!host.actions.some((action) => action.startsWith(`${RNG} > `)));
    });

    it("takes endpoints that are bridges by their class only", () => {
      const address = parseBdf("0000:06:00.0");
      host.pciFunction({ address, classCode: 0x068000, driver: "switchtec", iommuGroup: 6 });
      bind([address]);
      assert.equal(host.driverOf(address), "vfio-pci");
    });
  });

  describe("a bind or unbind that was interrupted", () => {
    const changesOf = (work: () => unknown): number => {
      let changes = 0;
      host.beforeChange = () => {
        changes++;
      };
      work();
      host.beforeChange = () => undefined;
      return changes;
    };

    const interrupted = (changes: number, work: () => unknown): void => {
      host.changesLeft = changes;
      try {
        work();
      } catch {
        // As far as it came.
      }
      host.changesLeft = Infinity;
    };

    const assertNatural = (title: string): void => {
      assert.deepEqual(drivers(), NATURAL, title);
      for (const address of [NVME, ...PAIR]) {
        assert.equal(host.overrideOf(address), "(null)", title);
        assert.equal(host.read(recordPath(address)), null, title);
      }
    };

    for (const next of ["unbind", "another bind and its unbind"])
      it(`is put right by ${next}, wherever that was`, () => {
        const devices = [NVME, ...PAIR];
        const [binding, unbinding] = [
          changesOf(() => bind(devices, { user: "alice" })),
          changesOf(() => unbind(...devices)),
        ];
        assert.ok(binding >= 12 && unbinding >= 12);
        const mend = (title: string): void => {
          if (next !== "unbind") bind(devices);
          unbind(...devices);
          assertNatural(title);
        };
        for (let changes = 0; changes <= binding; changes++) {
          interrupted(changes, () => bind(devices, { user: "alice" }));
          mend(`bind, after ${changes} changes`);
        }
        for (let changes = 0; changes <= unbinding; changes++) {
          bind(devices, { user: "alice" });
          interrupted(changes, () => unbind(...devices));
          mend(`unbind, after ${changes} changes`);
        }
      });
  });

  describe("bind, where a step fails", () => {
    const failures: [string, () => void][] = [
      ["vfio-pci does not take the last device", () => host.failingDrivers.add("vfio-pci")],
      ["a driver does not let go", () => (host.failingWrite = { name: "unbind", value: RNG })],
      [
        "the override is refused",
        () => (host.failingWrite = { name: "driver_override", value: "vfio-pci" }),
      ],
      ["the probe is refused", () => (host.failingWrite = { name: "drivers_probe", value: EDU })],
    ];
    for (const [title, prepare] of failures)
      it(`because ${title}, it gives everything back and says so`, () => {
        prepare();
        assert.throws(
          () => bind([NVME, RNG, EDU]),
          (error) => {
            assert.ok(error instanceof P2pError);
            assert.equal(error.code, "BIND_FAILED");
            assert.match(
              error.message,
              new RegExp(
                `taken back: ${NVME} has nvme, ${RNG} has virtio-pci, ${EDU} has no driver$`,
              ),
            );
            return true;
          },
        );
        assert.deepEqual(drivers(), NATURAL);
        for (const address of [NVME, ...PAIR]) {
          assert.equal(host.overrideOf(address), "(null)");
          assert.equal(host.read(recordPath(address)), null);
        }
      });
  });

  describe("unbind", () => {
    it("gives devices back to the drivers they had, and leaves no trace", () => {
      bind([NVME, EDU], { group: true, user: "alice" });
      const { devices } = unbind(NVME, ...PAIR);
      assert.deepEqual(drivers(), NATURAL);
      assert.deepEqual(
        devices.map(({ earlier_driver, driver, recorded }) => [earlier_driver, driver, recorded]),
        NATURAL.map((driver) => ["vfio-pci", driver, true]),
      );
      for (const address of [NVME, ...PAIR]) {
        assert.equal(host.overrideOf(address), "(null)");
        assert.equal(host.read(recordPath(address)), null);
      }
    });

    it("restores an override that there was", () => {
      host.write(`/sys/bus/pci/devices/${NVME}/driver/unbind`, NVME);
      host.write(`/sys/bus/pci/devices/${NVME}/driver_override`, "uio");
      host.driver("uio");
      host.write("/sys/bus/pci/drivers_probe", NVME);
      bind([NVME]);
      assert.equal(host.driverOf(NVME), "vfio-pci");
      unbind(NVME);
      assert.equal(host.driverOf(NVME), "uio");
      assert.equal(host.overrideOf(NVME), "uio");
    });

    it("puts right what an interrupted bind left, also after another bind", () => {
      for (const again of [false, true]) {
        bind([NVME]);
        // As it is before the last write.
        host.write(`/sys/bus/pci/devices/${NVME}/driver/unbind`, NVME);
        assert.deepEqual([host.driverOf(NVME), host.overrideOf(NVME)], [null, "vfio-pci"]);
        if (again) bind([NVME]);
        unbind(NVME);
        assert.deepEqual([host.driverOf(NVME), host.overrideOf(NVME)], ["nvme", "(null)"]);
      }
    });

    it("lets the kernel choose where nothing was recorded, and says so", () => {
      host.write(`/sys/bus/pci/devices/${NVME}/driver/unbind`, NVME);
      host.write(`/sys/bus/pci/devices/${NVME}/driver_override`, "vfio-pci");
      host.write("/sys/bus/pci/drivers_probe", NVME);
      const { devices } = unbind(NVME);
      assert.deepEqual([devices[0]?.driver, devices[0]?.recorded], ["nvme", false]);
    });

    it("takes the record of another device that had the address for none", () => {
      bind([EDU], { group: true });
      host.write(`/sys/bus/pci/devices/${EDU}/driver/unbind`, EDU);
      host.file(`/sys/bus/pci/devices/${EDU}/device`, "0x0011\n");
      assert.equal(unbind(EDU).devices[0]?.recorded, false);
    });

    it("takes a record that cannot be read for none", () => {
      bind([NVME]);
      host.file(recordPath(NVME), '{"driver":');
      assert.equal(unbind(NVME).devices[0]?.recorded, false);
      assert.equal(host.driverOf(NVME), "nvme");
    });

    it("leaves a device alone that another driver has", () => {
      const { devices, commands } = unbind(NVME);
      assert.deepEqual([devices[0]?.driver, devices[0]?.changed], ["nvme", false]);
      assert.deepEqual(commands, []);
    });

    it("leaves a device alone that has no driver, where bind has not taken it", () => {
      host.file(`/sys/bus/pci/devices/${EDU}/driver_override`, "uio\n");
      const { devices, commands } = unbind(EDU);
      assert.deepEqual([devices[0]?.driver, devices[0]?.changed], [null, false]);
      assert.deepEqual(commands, []);
      assert.equal(host.overrideOf(EDU), "uio");
    });

    it("goes on with the others where one device fails, and says all that failed", () => {
      bind([NVME, ...PAIR]);
      host.removeDriver("nvme");
      assert.throws(() => unbind(NVME, ...PAIR), { code: "BIND_FAILED", message: /did not get/ });
      assert.deepEqual(drivers(), [null, "virtio-pci", null]);
      bind([NVME, ...PAIR]);
      host.removeDriver("virtio-pci");
      assert.throws(() => unbind(NVME, ...PAIR), {
        code: "BIND_FAILED",
        message: new RegExp(`${NVME} did not .*; ${RNG} did not get the driver virtio-pci`),
      });
    });

    it("gives a group back to its user that was opened after it looked", () => {
      bind([NVME], { user: "alice" });
      bind(PAIR, { user: "alice" });
      host.beforeChange = (action) => {
        if (action === "chown 0 /dev/vfio/1") host.refusals.set("/dev/vfio/1", "EBUSY");
      };
      assert.throws(() => unbind(NVME, ...PAIR), { code: "IN_USE" });
      assert.deepEqual(drivers(), ["vfio-pci", "virtio-pci", null]);
      assert.equal(host.owners.get("/dev/vfio/1"), 1000);
    });

    it("takes the group's file from the user it was given to", () => {
      bind(PAIR, { user: "alice" });
      unbind(RNG);
      assert.ok(host.exists("/dev/vfio/2"), "its neighbour still has it");
      assert.equal(host.owners.get("/dev/vfio/2"), 0);
    });

    it("refuses while a process has the group, and names it", () => {
      bind([NVME]);
      host.refusals.set("/dev/vfio/1", "EBUSY");
      host.process(815, "qemu", "/dev/vfio/1");
      const { code, message } = refusal(() => unbind(NVME));
      assert.equal(code, "IN_USE");
      assert.match(message, /\/dev\/vfio\/1 is open in qemu \(pid 815\)/);
      assert.equal(host.driverOf(NVME), "vfio-pci");
    });

    it("fails where the earlier driver does not come back, with what to run", () => {
      bind([NVME]);
      host.removeDriver("nvme");
      assert.throws(
        () => unbind(NVME),
        (error) =>
          error instanceof P2pError &&
          error.code === "BIND_FAILED" &&
          (error.hint ?? "").endsWith(`modprobe nvme && sudo p2pmem unbind ${NVME}`),
      );
      // What the hint says.
      host.run("modprobe", "nvme");
      assert.deepEqual([host.driverOf(NVME), host.overrideOf(NVME)], ["nvme", "nvme"]);
      unbind(NVME);
      assert.equal(host.driverOf(NVME), "nvme");
      assert.equal(host.overrideOf(NVME), "(null)");
      assert.equal(host.read(recordPath(NVME)), null);
    });

    it("says what is left to do where a write fails", () => {
      bind([NVME]);
      host.failingWrite = { name: "drivers_probe", value: NVME };
      assert.throws(
        () => unbind(NVME),
        (error) =>
          error instanceof P2pError &&
          /what is left to do: echo \S+ >\S+\/drivers_probe && \[ /.test(error.hint ?? ""),
      );
    });

    it("refuses users other than root", () => {
      bind([NVME]);
      host.facts.uid = 1000;
      assert.equal(refusal(() => unbind(NVME)).code, "PERMISSION");
    });
  });
});
