/** Memory regions: which memory may be one, and what holds what. */
import assert from "node:assert/strict";
import { openSync, closeSync } from "node:fs";
import { addon, type NativeMemory } from "#lib/addon.js";
import { pattern } from "../device/machine.js";
import { Connection, OPCODE, part, remoteOf } from "./connection.js";
import { ACCESS, ALL_ACCESS, isLab, openRdmaMachine, STATUS, type RdmaMachine } from "./machine.js";

describe("memory regions", () => {
  let machine: RdmaMachine;
  let connection: Connection;
  let memory: NativeMemory;

  before(() => {
    machine = openRdmaMachine();
    connection = new Connection(machine);
    memory = addon().allocatePinned(64 * 1024, false);
  });
  after(() => {
    memory.close();
    connection.close();
    machine.close();
  });

  it("are any bytes of host memory, each with keys of its own", () => {
    const regions = [
      [0, 65536],
      [4096, 8192],
      [123, 4567],
      [65535, 1],
    ].map(([offset, length]) => ({
      offset: offset!,
      region: connection.domain.registerHost(memory, offset!, length!, ALL_ACCESS),
    }));
    const [{ region: whole }] = regions as [(typeof regions)[0]];
    for (const { offset, region } of regions)
      assert.equal(region.address, whole.address + BigInt(offset));
    assert.deepEqual(
      regions.map(({ region }) => region.length),
      [65536, 8192, 4567, 1],
    );
    assert.equal(new Set(regions.map(({ region }) => region.rkey)).size, regions.length);
    for (const { region } of regions) {
      region.close();
      region.close();
      assert.throws(() => region.lkey, { code: "CLOSED" });
    }
  });

  it("are not empty, nor beyond the memory", () => {
    const refuse = (offset: number, length: number): void => {
      assert.throws(() => connection.domain.registerHost(memory, offset, length, ALL_ACCESS), {
        code: "BAD_RANGE",
      });
    };
    refuse(0, 0);
    refuse(0, 65537);
    refuse(65536, 1);
    refuse(2 ** 40, 4096);
  });

  it("keep their memory until they are closed, whoever lets go of it", async () => {
    const { domain, pairs, queues } = connection;
    const own = addon().allocatePinned(4096, false);
    const { id } = own;
    const region = domain.registerHost(own, 0, 4096, ALL_ACCESS);
    own.close();
    const from = connection.buffer(4096);
    const back = connection.buffer(4096);
    from.bytes.set(pattern(4096, 1));
    const remote = { address: region.address, rkey: region.rkey };
    pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote });
    pairs[0].send({ opcode: OPCODE.read, sges: [part(back)], remote });
    for (const { status } of await queues[0].take(2)) assert.equal(status, STATUS.success);
    assert.deepEqual(back.bytes, from.bytes);
    await new Promise(setImmediate); // the buffer's backing store goes in its own turn
    addon().openMemory(id).close();
    region.close();
    await new Promise(setImmediate);
    assert.throws(() => addon().openMemory(id), { code: "GONE" });
  });

  it("may be paged in on demand, where the device can", async () => {
    const paging = machine.device.attributes().onDemandPaging;
    assert.ok(paging, "both machines can");
    // One packet for each page: soft-RoCE (seen with Linux 7.3) has data of a region on demand begin at
    // the begin of a page, packet by packet, whatever the address, and reports success.
    const paged = new Connection(machine, { connection: { mtu: 4096 } });
    const { pairs, queues } = paged;
    const from = paged.buffer(64 * 1024, ALL_ACCESS | ACCESS.onDemand);
    const to = paged.buffer(64 * 1024, ALL_ACCESS | ACCESS.onDemand);
    from.bytes.set(pattern(from.bytes.length, 2));
    pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) });
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.success);
    assert.deepEqual(to.bytes, from.bytes);
    paged.close();
  });

  it("are not made of files that are no dma-bufs", () => {
    const file = openSync("/dev/null", "r+");
    try {
      for (const [fd, keep] of [
        [file, null],
        [1_000_000, memory],
      ] as const)
        assert.throws(
          () => connection.domain.registerDmabuf(fd, 0, 4096, 0n, ALL_ACCESS, keep),
          // soft-RoCE looks at none.
          { name: "P2pError", code: isLab ? "NO_DMABUF" : "BAD_DMABUF" },
        );
    } finally {
      closeSync(file);
    }
  });
});
