/** The memory that the loopback NIC reaches: on demand, of other devices, its own. */
import assert from "node:assert/strict";
import { closeSync, readdirSync } from "node:fs";
import {
  addon,
  type NativeAddressSpace,
  type NativeDevice,
  type NativeMemory,
} from "#lib/addon.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import type { NativeMemoryRegion } from "#lib/rdma-addon.js";
import { Connection, OPCODE, part, remoteOf } from "../rdma/connection.js";
import { ACCESS, ALL_ACCESS } from "../rdma/machine.js";
import { CARD, EVENT, RNIC, RnicMachine, until, WC } from "./rnic.js";

const PAGE = 4096;
const MIB = 1 << 20;

/** Bytes that differ from place to place. */
function fill(memory: NativeMemory, seed: number, offset = 0, length = memory.size - offset): void {
  const words = new Uint32Array(memory.buffer, offset, length / 4);
  words.forEach((_, index) => (words[index] = (index + 1) * seed));
}

describe("memory on demand", () => {
  let machine: RnicMachine;
  let connection: Connection;
  beforeEach(() => {
    machine = new RnicMachine();
    // Their patience is soon at its end: a few milliseconds.
    connection = new Connection(machine, { connection: { timeout: 8, retries: 3 } });
  });
  afterEach(() => {
    connection.close();
    machine.close();
  });

  it("is mapped page by page, when it is used", async () => {
    const { pairs, queues } = connection;
    const from = connection.buffer(MIB, ALL_ACCESS | ACCESS.onDemand);
    const to = connection.buffer(MIB, ALL_ACCESS | ACCESS.onDemand);
    fill(from.memory, 3);
    assert.equal(machine.counters().pageFaults, 0);
    const length = 10 * PAGE;
    const remote = remoteOf(to, 100);
    pairs[0].send({ opcode: OPCODE.write, sges: [part(from, 0, length)], remote });
    assert.equal((await queues[0].take(1))[0]!.status, WC.success);
    assert.equal(machine.counters().pageFaults, 10 + 11);
    assert.ok(
      Buffer.from(to.bytes.subarray(100, 100 + length)).equals(from.bytes.subarray(0, length)),
    );
    pairs[0].send({ opcode: OPCODE.read, sges: [part(from, MIB / 2)], remote: remoteOf(to) });
    assert.equal((await queues[0].take(1))[0]!.status, WC.success);
    assert.ok(Buffer.from(from.bytes.subarray(MIB / 2)).equals(to.bytes.subarray(0, MIB / 2)));
  });

  for (const opcode of [OPCODE.write, OPCODE.read])
    it(`is left alone while it is invalidated, and then has the new data (${opcode})`, async () => {
      const { pairs, queues } = connection;
      const LENGTH = 8 * MIB;
      const near = connection.buffer(LENGTH, ALL_ACCESS | ACCESS.onDemand);
      const far = connection.buffer(LENGTH, ALL_ACCESS | ACCESS.onDemand);
      const [source, target] = opcode === OPCODE.write ? [near, far] : [far, near];
      fill(source.memory, 5);
      const sges = [part(near)];
      pairs[0].send({ opcode, sges, remote: remoteOf(far) }); // all pages are there now
      assert.equal((await queues[0].take(1))[0]!.status, WC.success);
      const half = LENGTH / 2;
      machine.machine.invalidateStart(source.memory, half, half);
      assert.equal(machine.counters().invalidatedPages, half / PAGE);
      fill(source.memory, 7, 0, half);
      target.bytes.fill(0);
      pairs[0].send({ opcode, sges, remote: remoteOf(far) });
      // The first half gets through; nothing of the second does, however long it takes.
      await until(() => target.bytes[half - 2] !== 0);
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.deepEqual(queues[0].poll(), []);
      assert.ok(target.bytes.subarray(half).every((byte) => byte === 0));
      fill(source.memory, 11, half, half);
      machine.machine.invalidateEnd(source.memory, half, half);
      assert.equal((await queues[0].take(1))[0]!.status, WC.success);
      assert.equal(Buffer.compare(target.bytes, source.bytes), 0);
    });

  it("tells of an invalidation that has not begun", () => {
    const { memory } = connection.buffer(PAGE, ALL_ACCESS | ACCESS.onDemand);
    assert.throws(() => machine.machine.invalidateEnd(memory, 0, PAGE), { code: "BAD_RANGE" });
  });
});

describe("dma-bufs of the loopback machine's devices", () => {
  let machine: RnicMachine;
  let connection: Connection;
  let space: NativeAddressSpace;
  let card: NativeDevice;
  let region: NativeMemoryRegion | undefined;

  const open = (configuration = builtinMachines.rdma) => {
    machine = new RnicMachine(configuration);
    connection = new Connection(machine);
    space = machine.machine.openAddressSpace();
    card = space.openDevice(CARD);
    region = undefined;
  };
  const register = (length = MIB, offset = 0) => {
    const fd = card.exportDmabuf(2, 0, MIB);
    try {
      const address = 0x1_0000_0000n + BigInt(offset);
      region = connection.domain.registerDmabuf(fd, offset, length, address, ALL_ACCESS, null);
      return region;
    } finally {
      closeSync(fd);
    }
  };
  afterEach(() => {
    region?.close();
    connection.close();
    card.close();
    space.close();
    machine.close();
  });

  it("carry data from peer memory to peer memory: no byte of it crosses host memory", async () => {
    open();
    const { pairs, queues } = connection;
    const bar = card.region(2).map(0, MIB);
    const host = addon().allocatePinned(MIB, false);
    fill(host, 13, 0, MIB / 2);
    addon().copy(bar, 0, host, 0, MIB);
    const own = register();
    machine.machine.resetTraffic();
    pairs[0].send({
      opcode: OPCODE.write,
      sges: [{ region: own, offset: 0, length: MIB / 2 }],
      remote: { address: own.address + BigInt(MIB / 2), rkey: own.rkey },
    });
    assert.equal((await queues[0].take(1))[0]!.status, WC.success);
    const traffic = machine.machine.traffic();
    assert.equal(traffic.hostMemoryBytes, 0);
    assert.ok(traffic.hostControlBytes > 0);
    // Its port redirects: the data goes up and down, out of the card and into it.
    assert.equal(traffic.rootComplexBytes, MIB);
    const link = traffic.links.find(({ address }) => address === RNIC)!;
    assert.deepEqual([link.upBytes, link.downBytes], [MIB / 2, MIB / 2]);
    assert.equal(addon().compare(bar, MIB / 2, host, 0, MIB / 2), -1);
    bar.close();
    host.close();
  });

  it("are whole pages of memory, not of registers", () => {
    open();
    for (const [bar, offset, length] of [
      [0, 0, PAGE],
      [2, 1, PAGE],
      [2, 0, 100],
      [2, 0, 0],
      [2, 256 * MIB, PAGE],
      [1, 0, PAGE],
    ] as const)
      assert.throws(() => card.exportDmabuf(bar, offset, length), { code: "BAD_RANGE" });
  });

  it("leave no descriptor behind, once their machine is gone", async () => {
    const descriptors = () => readdirSync("/proc/self/fd").length;
    /** Handles of the event loop are closed in its next turns. */
    const left = async (): Promise<number> => {
      for (let last = -1; ;) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        const now = descriptors();
        if (now === last) return now;
        last = now;
      }
    };
    const close = () => {
      for (const object of [connection, card, space, machine]) object.close();
    };
    open();
    close();
    const before = await left();
    open();
    for (const fd of [0, 1, 2].map(() => card.exportDmabuf(2, 0, MIB))) closeSync(fd);
    close();
    assert.equal(await left(), before);
    open();
  });

  it("are refused where they are none, end too early, or lie in their page otherwise", () => {
    open();
    assert.throws(() => connection.domain.registerDmabuf(0, 0, PAGE, 0n, ALL_ACCESS, null), {
      code: "BAD_DMABUF",
    });
    assert.throws(() => register(MIB + PAGE), { code: "BAD_RANGE" });
    const fd = card.exportDmabuf(2, 0, MIB);
    assert.throws(() => connection.domain.registerDmabuf(fd, 0, PAGE, 1n, ALL_ACCESS, null), {
      code: "BAD_RANGE",
    });
    card.reset();
    assert.throws(() => connection.domain.registerDmabuf(fd, 0, PAGE, 0n, ALL_ACCESS, null), {
      code: "BAD_DMABUF",
      message: /revoked/,
    });
    closeSync(fd);
  });

  it("are refused where no host bridge is known to forward between the two", () => {
    open({ ...builtinMachines.rdma, hostBridge: { forwards: "writes" } });
    assert.throws(() => register(), { code: "BAD_DMABUF", message: /host bridge/ });
  });

  const revocations = {
    "a reset": () => {
      card.reset();
    },
    "memory decode off, though it comes on again": () => {
      const config = card.region(7);
      const command = config.read16(4);
      config.write16(4, command & ~2);
      config.write16(4, command);
    },
    closing: () => {
      card.close();
    },
    removal: () => {
      machine.inject({ on: "now", effect: "remove" }, CARD);
    },
  };
  for (const [how, revoke] of Object.entries(revocations))
    it(`are revoked by ${how}: both keys are invalid, and the memory is out of reach`, async () => {
      open();
      const own = register();
      const host = connection.buffer(PAGE);
      host.bytes.fill(0xaa);
      revoke();
      connection.pairs[0].send({
        opcode: OPCODE.write,
        sges: [part(host)],
        remote: { address: own.address, rkey: own.rkey },
      });
      assert.equal((await connection.queues[0].take(1))[0]!.status, WC.remoteAccess);
      await machine.event(EVENT.queuePairAccess);
      const other = new Connection(machine);
      other.pairs[0].send({
        opcode: OPCODE.write,
        sges: [{ region: own, offset: 0, length: PAGE }],
        remote: remoteOf(host),
      });
      assert.notEqual((await other.queues[0].take(1))[0]!.status, WC.success);
      assert.ok(host.bytes.every((byte) => byte === 0xaa));
      other.close();
    });
});

describe("the NIC's own memory", () => {
  let machine: RnicMachine;
  beforeEach(() => {
    machine = new RnicMachine();
  });
  afterEach(() => {
    machine.close();
  });

  it("is registered and moved without a byte on its link", async () => {
    const connection = new Connection(machine);
    const memory = machine.device.allocateMemory(2 * PAGE);
    const region = connection.domain.registerHost(memory, 0, 2 * PAGE, ALL_ACCESS);
    const host = addon().allocatePinned(PAGE, false);
    fill(host, 17);
    addon().copy(memory, 0, host, 0, PAGE);
    machine.machine.resetTraffic();
    connection.pairs[0].send({
      opcode: OPCODE.write,
      sges: [{ region, offset: 0, length: PAGE }],
      remote: { address: region.address + BigInt(PAGE), rkey: region.rkey },
    });
    assert.equal((await connection.queues[0].take(1))[0]!.status, WC.success);
    const { hostMemoryBytes, rootComplexBytes } = machine.machine.traffic();
    assert.deepEqual([hostMemoryBytes, rootComplexBytes], [0, 0]);
    assert.equal(addon().compare(memory, PAGE, host, 0, PAGE), -1);
    region.close();
    memory.close();
    host.close();
    connection.close();
  });

  it("is mapped for other devices as any peer's memory is", () => {
    const space = machine.machine.openAddressSpace();
    const nvme = space.openDevice("0000:03:00.0");
    const memory = machine.device.allocateMemory(PAGE);
    space.map(memory, 0, PAGE, 0x10_0000n, { read: true, write: true });
    space.unmap(0x10_0000n, PAGE);
    memory.close();
    nvme.close();
    space.close();
  });

  it("is shared out until there is none left, and comes back", () => {
    const all = machine.device.allocateMemory(64 * MIB);
    assert.throws(() => machine.device.allocateMemory(PAGE), { code: "NO_ROOM" });
    all.close();
    assert.throws(() => machine.device.allocateMemory(100), { code: "NO_ROOM" });
    machine.device.allocateMemory(PAGE).close();
  });

  it("is not what VFIO opens: the NIC stays on its kernel's driver", () => {
    const space = machine.machine.openAddressSpace();
    assert.throws(() => space.openDevice(RNIC), { code: "NOT_BOUND", message: /rnic/ });
    space.close();
    const fn = machine.machine.functions().find(({ address }) => address === RNIC)!;
    assert.equal(fn.driver, "rnic");
    assert.deepEqual(machine.machine.rdmaDevices(), [{ name: "rnic0", address: RNIC }]);
  });
});
