/** On-demand memory: what the device makes of messages in it, and whether that is known beforehand. */
import assert from "node:assert/strict";
import { RdmaDevice } from "#lib/rdma/device.js";
import { findOdpHazard, packetsBeginAtPages } from "#lib/rdma/odp-hazard.js";
import { pattern } from "../device/machine.js";
import { Connection, OPCODE, part, remoteOf } from "./connection.js";
import { ACCESS, ALL_ACCESS, isLab, openRdmaMachine, STATUS, type RdmaMachine } from "./machine.js";

const PAGE = 4096;

describe("on-demand memory of an RDMA device", () => {
  let machine: RdmaMachine;
  before(() => {
    machine = openRdmaMachine();
  });
  after(() => {
    machine.close();
  });

  /** Whether all of a message is where it belongs, and nothing else has changed. */
  async function isRight(mtu: number, opcode: number, offset: number, length: number) {
    const connection = new Connection(machine, { connection: { mtu } });
    const { pairs, queues } = connection;
    const own = connection.buffer(4 * PAGE);
    const paged = connection.buffer(4 * PAGE, ALL_ACCESS | ACCESS.onDemand);
    const [from, to] = opcode === OPCODE.read ? [paged, own] : [own, paged];
    const data = pattern(length, offset + 1);
    from.bytes.set(data, offset);
    const expected = new Uint8Array(to.bytes.length);
    expected.set(data, offset);
    const sges = [part(own, offset, length)];
    pairs[0].send({ opcode, sges, remote: remoteOf(paged, offset) });
    assert.equal((await queues[0].take(1))[0]!.status, STATUS.success);
    const found = Buffer.from(to.bytes).equals(expected);
    connection.close();
    return found;
  }

  it("holds the bytes that belong there, but where a hazard was found", async () => {
    const device = new RdmaDevice(machine.device, null);
    for (const mtu of [1024, 4096]) {
      const hazard = await findOdpHazard(device, { mtu });
      if (!isLab) assert.equal(hazard, null);
      for (const opcode of [OPCODE.write, OPCODE.read])
        for (const [offset, length] of [
          [0, 3 * PAGE],
          [PAGE, 1000],
          [100, 8],
          [4000, 200],
          [1024, 2 * PAGE],
        ] as const) {
          const what = `${opcode} of ${length} at ${offset}, MTU ${mtu}`;
          const right = await isRight(mtu, opcode, offset, length);
          const begins = packetsBeginAtPages(offset, length, mtu);
          // What holds of soft-RoCE at one MTU is known at the other: its packets alone count.
          assert.equal(right, hazard === null || begins, what);
        }
      if (hazard === null) continue;
      assert.match(hazard.reason, /^rxe0 moves wrong bytes/);
      assert.equal(hazard.isRightAtPages, mtu === PAGE);
    }
  });
});

describe("packets of a message", () => {
  it("begin at pages where it does, and is one packet, or of packets of whole pages", () => {
    for (const [offset, length, mtu, begin] of [
      [0, 1, 256, true],
      [0, 256, 256, true],
      [0, 257, 256, false],
      [PAGE, 1024, 1024, true],
      [0, 2 * PAGE, 2048, false],
      [0, 10 * PAGE, 4096, true],
      [PAGE / 2, 8, 4096, false],
      [1, 1, 4096, false],
    ] as const)
      assert.equal(packetsBeginAtPages(offset, length, mtu), begin, `${offset} ${length} ${mtu}`);
  });
});
