/** Regions of host memory: pinned, on demand while it is moved, and closed under the region. */
import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { RdmaDevice } from "#lib/rdma/device.js";
import { Access } from "#lib/rdma/spec.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import type { Session } from "#lib/session.js";
import { STATUS_SUCCESS } from "#lib/rdma/status.js";
import { pattern } from "../device/machine.js";
import { ALL, Link, openSession } from "../rdma/link.js";
import { RnicMachine, until, WC } from "./rnic.js";

const PAGE = 4096;
const MIB = 1 << 20;
const PAGED = ALL | Access.ON_DEMAND;

describe("memory regions on demand, of the RDMA library", () => {
  let machine: RnicMachine;
  let device: RdmaDevice;
  let link: Link;

  beforeEach(() => {
    machine = new RnicMachine();
    device = new RdmaDevice(machine.machine.openRdmaDevice("rnic0"), null);
    // Their patience is soon at its end: a few milliseconds.
    link = new Link(device, { timeout: 8, retries: 3 });
  });
  afterEach(() => {
    link.close();
    device.close();
    machine.close();
  });

  it("wait for pages that are being moved, and carry what is there then", async () => {
    const [from, to] = [link.host(4 * MIB, ALL | Access.ON_DEMAND), link.host(4 * MIB, ALL)];
    from.bytes.fill(1);
    assert.equal(await link.statusOf(from.region, to.region, 4 * MIB), WC.success);
    for (let round = 2; round < 6; round++) {
      const half = 2 * MIB;
      machine.machine.invalidateStart(from.memory, half, half);
      from.bytes.fill(round, 0, half);
      link.write(from.region, to.region, 4 * MIB);
      await until(() => to.bytes[half - 1] === round);
      assert.deepEqual(link.queues[0].poll(), 0);
      assert.equal(to.bytes[half], round - 1);
      from.bytes.fill(round, half);
      machine.machine.invalidateEnd(from.memory, half, half);
      assert.equal((await link.take(0, 1))[0]!.status, WC.success);
      assert.equal(Buffer.compare(to.bytes, from.bytes), 0);
    }
    assert.equal(from.region.revoked, null);
  });

  for (const moved of ["source", "target"] as const)
    it(`move their pages under transfers: no request reaches a page of the ${moved} meanwhile`, async () => {
      const LENGTH = 4 * MIB;
      const [from, to] = [link.host(LENGTH, PAGED), link.host(LENGTH, PAGED)];
      const { memory, bytes } = moved === "source" ? from : to;
      const data = pattern(LENGTH, 1);
      from.bytes.set(data);
      let moves = 0;
      for (let round = 0; round < 20; round++) {
        to.bytes.fill(0);
        link.write(from.region, to.region, LENGTH);
        while (link.queues[0].poll() === 0) {
          const length = 16 * PAGE;
          const offset = ((moves++ * 37) % (LENGTH / length)) * length;
          const range = bytes.subarray(offset, offset + length);
          machine.machine.invalidateStart(memory, offset, length);
          const kept = Buffer.from(range);
          range.fill(0xee);
          await new Promise(setImmediate);
          assert.ok(
            range.every((byte) => byte === 0xee),
            "written while it was moved",
          );
          range.set(kept);
          machine.machine.invalidateEnd(memory, offset, length);
        }
        assert.equal(link.queues[0].status(0), STATUS_SUCCESS);
        // What was read while it was moved would be here.
        assert.equal(Buffer.compare(to.bytes, data), 0);
      }
      const { invalidatedPages, pageFaults } = machine.counters();
      assert.ok(invalidatedPages > 20 && pageFaults > (2 * LENGTH) / PAGE, `${moves} moves`);
    });

  it("map no page before it is used, and lose those that are closed while they are moved", async () => {
    const [from, to] = [link.host(MIB, ALL | Access.ON_DEMAND), link.host(MIB, ALL)];
    assert.equal(machine.counters().pageFaults, 0);
    assert.equal(await link.statusOf(from.region, to.region, 3 * PAGE), WC.success);
    assert.equal(machine.counters().pageFaults, 3);
    machine.machine.invalidateStart(from.memory, 0, MIB);
    link.write(from.region, to.region, MIB);
    from.region.close();
    assert.equal((await link.take(0, 1))[0]!.status, WC.localProtection);
    machine.machine.invalidateEnd(from.memory, 0, MIB);
  });

  it("are not made of the NIC's own memory, which is registered as such", async () => {
    const memory = device.native.allocateMemory(2 * PAGE);
    const { domain } = link;
    assert.throws(() => domain.registerMemory(memory, 0, PAGE, ALL | Access.ON_DEMAND), {
      code: "BAD_ARGUMENT",
    });
    const region = domain.registerMemory(memory, 0, 2 * PAGE, ALL);
    assert.equal(region.target, "device");
    assert.throws(() => region.inlineAddress(0, 1), { code: "BAD_ARGUMENT" });
    const { region: host, bytes } = link.host(PAGE);
    bytes.fill(7);
    assert.equal(await link.statusOf(host, region, PAGE), WC.success);
    const before = machine.machine.traffic().hostMemoryBytes;
    link.write(region, region, PAGE, PAGE);
    assert.equal((await link.take(0, 1))[0]!.status, WC.success);
    assert.equal(machine.machine.traffic().hostMemoryBytes, before);
    const found = addon().allocatePinned(PAGE, false);
    addon().copy(found, 0, memory, PAGE, PAGE);
    assert.ok(Buffer.from(found.buffer).equals(bytes));
    found.close();
    memory.close(); // the region keeps it
    assert.equal(await link.statusOf(host, region, PAGE), WC.success);
    region.close();
  });
});

describe("memory regions of a session's host memory", () => {
  let session: Session;

  beforeEach(async () => {
    session = await openSession();
    await session.controller("0000:03:00.0"); // host memory is mapped for a device
  });
  afterEach(async () => {
    await session.close();
  });

  it("carry on over a buffer that is closed under them, and then let it go", async () => {
    const { addressSpace } = session;
    const link = new Link(session.rdmaDevice());
    const buffer = addressSpace.allocate(MIB);
    const { id } = buffer.memory;
    const region = link.domain.register(new ScatterList(addressSpace).addHost(buffer), ALL);
    const to = link.host(MIB);
    Buffer.from(buffer.buffer).fill(9);
    link.write(region, to.region, MIB);
    buffer.close();
    assert.equal((await link.take(0, 1))[0]!.status, WC.success);
    assert.ok(to.bytes.every((byte) => byte === 9));
    assert.equal(await link.statusOf(region, to.region, MIB), WC.success);
    assert.throws(
      () => {
        region.assertUsable();
      },
      { code: "GONE" },
    );
    addon().openMemory(id).close();
    region.close();
    assert.throws(() => addon().openMemory(id), { code: "GONE" });
    link.close();
  });

  it("have keys for each part of a list, and pass from one to the next by gather entries", async () => {
    const { addressSpace } = session;
    const link = new Link(session.rdmaDevice());
    const [a, b] = [addressSpace.allocate(PAGE), addressSpace.allocate(PAGE)];
    Buffer.from(a.buffer).fill(1);
    Buffer.from(b.buffer).fill(2);
    const list = new ScatterList(addressSpace)
      .addHost(a, 0, 100)
      .addHost(b, 50, 200)
      .addHost(a, 700, 1);
    const region = link.domain.register(list, Access.LOCAL_WRITE);
    assert.deepEqual(
      region.pieces.map(({ length }) => length),
      [100, 200, 1],
    );
    const to = link.host(PAGE);
    const [first, ...others] = region.pieces;
    const { sends } = link.pairs[0];
    const { region: target } = to;
    sends.write(0, 0, 2, first!.address, first!.length, first!.lkey, target.address, target.rkey);
    for (const { address, length, lkey } of others) sends.gather(address, length, lkey);
    link.pairs[0].flush();
    assert.equal((await link.take(0, 1))[0]!.status, WC.success);
    const expected = Buffer.alloc(PAGE);
    expected.fill(1, 0, 100).fill(2, 100, 300).fill(1, 300, 301);
    assert.ok(to.bytes.equals(expected));
    link.close();
    for (const buffer of [a, b]) buffer.close();
  });
});
