import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { configureCmb } from "#lib/platform/cmb-schema.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import type { MachineConfiguration } from "#lib/platform/machine-schema.js";
import { Bench, blocks, CARD, NVME0, NVME1, NVME2, READ } from "../support/raw-nvme.js";

/** The default machine, where the device at this port of the switch has another driver. */
function withDriver(port: number, driver: string | null): MachineConfiguration {
  const machine = structuredClone(builtinMachines.default);
  const below = machine.rootPorts[0]?.device;
  assert.ok(below?.kind === "switch");
  const device = below.ports[port]?.device;
  assert.ok(device && device.kind !== "switch");
  device.driver = driver;
  return machine;
}

describe("loopback devices and their owners", () => {
  it("open once, and again after they were closed", () => {
    const bench = new Bench();
    const device = bench.space.openDevice(NVME0);
    assert.throws(() => bench.space.openDevice(NVME0), { code: "IN_USE", device: NVME0 });
    device.close();
    bench.space.openDevice(NVME0).close();
    bench.close();
  });

  it("do not exist at other addresses, and are no ports", () => {
    const bench = new Bench();
    assert.throws(() => bench.space.openDevice("0000:7f:00.0"), { code: "UNKNOWN_DEVICE" });
    assert.throws(() => bench.space.openDevice("0000:02:00.0"), { code: "NOT_BOUND" });
    bench.close();
  });

  it("must be bound to vfio-pci", () => {
    for (const driver of ["nvme", null]) {
      const bench = new Bench(withDriver(1, driver));
      assert.throws(
        () => bench.space.openDevice(NVME1),
        (error: Error & { code?: string; hint?: string }) => {
          assert.equal(error.code, "NOT_BOUND");
          assert.match(error.message, driver ? /bound to nvme/ : /bound to no driver/);
          assert.match(error.hint ?? "", /machine file/);
          return true;
        },
      );
      bench.close();
    }
  });

  it("share a group with no device of another driver; the error names that device", () => {
    const bench = new Bench(withDriver(1, "nvme"));
    assert.throws(
      () => bench.space.openDevice(CARD),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "GROUP_NOT_VIABLE");
        assert.match(error.message, new RegExp(`${NVME1} \\(driver nvme\\)`));
        return true;
      },
    );
    bench.device(NVME2);
    bench.close();
    const unbound = new Bench(withDriver(1, null));
    unbound.device(CARD);
    unbound.close();
  });

  it("are in one address space with their whole group", () => {
    const bench = new Bench();
    bench.device(NVME0);
    const second = bench.native.openAddressSpace();
    assert.throws(() => second.openDevice(CARD), { code: "IN_USE" });
    second.openDevice(NVME2).close();
    second.close();
    bench.close();
  });

  it("reach only what their own address space maps", () => {
    const bench = new Bench(builtinMachines.acs);
    const other = bench.native.openAddressSpace();
    const stranger = other.openDevice(CARD);
    const memory = bench.keep(addon().allocatePinned(4096, false));
    const bytes = new Uint8Array(memory.buffer).fill(0x31);
    other.map(memory, 0, 4096, 0x4000_0000n, { read: true, write: true });
    const nvme = bench.nvme(NVME1).enable();
    const queue = nvme.createPair(nvme.queue(1, 8));
    const command = { opcode: READ, nsid: 1, prp1: 0x4000_0000, dwords: blocks(0, 8) };
    assert.equal(queue.run(command).status, 0);
    assert.equal(bytes[0], 0x31);
    assert.equal(bench.space.takeFaults()?.length, 1);
    assert.deepEqual(other.takeFaults(), []);
    stranger.close();
    other.close();
    bench.close();
  });

  it("answer no more through what was kept of them after close()", () => {
    const bench = new Bench();
    const device = bench.space.openDevice(NVME0);
    const bar = device.region(0);
    device.close();
    assert.throws(() => bar.read32(0), { code: "CLOSED" });
    bench.close();
  });

  it("are idle and reset after close(): nothing reaches memory any more", () => {
    const bench = new Bench();
    const nvme = bench.nvme(NVME0).enable();
    nvme.device.close();
    const device = bench.space.openDevice(NVME0);
    assert.equal(device.region(0).read32(0x1c), 0);
    assert.equal(device.region(7).read16(4) & 4, 0);
    device.close();
    bench.close();
  });

  it("may be left open: closing address space and machine first does no harm", () => {
    const bench = new Bench();
    const nvme = bench.nvme(NVME0).enable();
    const queue = nvme.createPair(nvme.queue(1, 64));
    const data = bench.host(4096);
    for (let i = 0; i < 63; i++)
      queue.push({ opcode: READ, nsid: 1, prp1: data.iova, dwords: blocks(i, 8) });
    queue.ring();
    bench.space.close();
    bench.native.close();
    nvme.device.close();
    bench.close();
  });
});

describe("a loopback machine", () => {
  it("refuses a configuration that is not one, and a namespace file that is not there", () => {
    const create = (change: (machine: MachineConfiguration) => void) => () => {
      const machine = structuredClone(builtinMachines.default);
      change(machine);
      addon().createLoopbackMachine(machine).close();
    };
    const lone = (machine: MachineConfiguration) => {
      const device = machine.rootPorts[1]?.device;
      assert.ok(device?.kind === "nvme");
      return device;
    };
    const bad = { code: "BAD_MACHINE" };
    assert.throws(() => addon().createLoopbackMachine({}), bad);
    assert.throws(
      create((machine) => (lone(machine).cmb = configureCmb({ size: 4095 }))),
      bad,
    );
    assert.throws(
      create((machine) => (lone(machine).maxTransfer = 1)),
      bad,
    );
    assert.throws(
      create((machine) => (lone(machine).namespaces = [{ size: 100, block: 512, file: null }])),
      bad,
    );
    assert.throws(
      create((machine) => (machine.iovaBits = 40 as 48)),
      bad,
    );
    const file = "/nonexistent/disk.img";
    assert.throws(
      create((machine) => (lone(machine).namespaces = [{ size: 0, block: 512, file }])),
      { code: "IO", errno: 2, syscall: "open" },
    );
  });

  it("routes between two switches, one below the other", () => {
    const machine = structuredClone(builtinMachines.default);
    const outer = machine.rootPorts[0]?.device;
    assert.ok(outer?.kind === "switch");
    outer.ports.splice(1, 1, {
      acs: [],
      device: { kind: "switch", ports: [outer.ports[1]!] },
    });
    const bench = new Bench(machine);
    const functions = bench.native.functions();
    const inner = functions.filter(({ resources }) => resources[0]?.size === 16384n)[1]?.address;
    const card = functions.find(({ resources }) => resources[2]?.size === 256n << 20n)?.address;
    const nvme = bench.nvme(inner ?? "").enable();
    const queue = nvme.createPair(nvme.queue(1, 8));
    const peer = bench.peer(card ?? "");
    bench.native.resetTraffic();
    const command = { opcode: READ, nsid: 1, prp1: peer.iova, dwords: blocks(0, 8) };
    assert.equal(queue.run(command).status, 0);
    const used = bench.native
      .traffic()
      .links.filter(({ upBytes, downBytes }) => upBytes || downBytes);
    assert.deepEqual(
      used.map(({ upBytes, downBytes }) => [upBytes, downBytes]),
      [
        [4096, 0], // the inner switch's upstream port
        [4096, 0], // the controller
        [0, 4096], // the card
      ],
    );
    assert.equal(bench.native.traffic().rootComplexBytes, 0);
    bench.close();
  });
});
