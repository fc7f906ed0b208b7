import assert from "node:assert/strict";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { Bench, blocks, NVME1, NVME2, PAGE, READ, WRITE } from "../support/raw-nvme.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";

/** The last page of the 64-bit address space: its end is not a number of 64 bits. */
const TOP = 2 ** 64 - PAGE;

const initiators = [
  { title: "below a switch that forwards", machine: builtinMachines.default, address: NVME1 },
  { title: "below a switch that redirects", machine: builtinMachines.acs, address: NVME1 },
  { title: "below a root port", machine: builtinMachines.default, address: NVME2 },
];

for (const { title, machine, address } of initiators)
  describe(`loopback DMA at the limits of the address space, ${title}`, () => {
    let bench: Bench;
    let nvme: RawNvme;
    let queue: RawQueue;
    let data: HostMemory;

    beforeEach(() => {
      bench = new Bench(machine);
      nvme = bench.nvme(address).enable();
      queue = nvme.createPair(nvme.queue(1, 8));
      data = bench.host(4 * PAGE);
    });
    afterEach(() => {
      bench.close();
    });

    const io = (opcode: number, pages: number, prp1: number, prp2 = 0) =>
      queue.run({ opcode, nsid: 1, prp1, prp2, dwords: blocks(0, pages * 8) }).status;
    const refused = () =>
      bench.space.takeFaults()?.map(({ iova, write, reason }) => [iova, write, reason]);
    /** Which of the first pages of the media, all 0xaa before, hold zeros after `act`. */
    const zeroed = (pages: number, act: () => void) => {
      data.bytes.fill(0xaa);
      const list = bench.host(PAGE);
      new BigUint64Array(list.memory.buffer).set(
        [1, 2].map((page) => BigInt(data.iova + page * PAGE)),
      );
      assert.equal(io(WRITE, 3, data.iova, list.iova), 0);
      act();
      assert.equal(io(READ, 3, data.iova, list.iova), 0);
      return Array.from({ length: pages }, (_, page) =>
        data.bytes.subarray(page * PAGE, (page + 1) * PAGE).every((byte) => byte === 0),
      );
    };

    it("records a fault where PRP1 is 0, and the command succeeds", () => {
      assert.equal(io(READ, 1, 0), 0);
      assert.deepEqual(refused(), [[0n, true, "not mapped"]]);
      assert.deepEqual(
        zeroed(2, () => assert.equal(io(WRITE, 1, 0), 0)),
        [true, false],
      );
      assert.deepEqual(refused(), [[0n, false, "not mapped"]]);
    });

    it("records a fault where PRP2 is 0, and transfers what PRP1 points at", () => {
      data.bytes.fill(0x55);
      assert.equal(io(READ, 2, data.iova), 0);
      assert.deepEqual([data.bytes[0], data.bytes[PAGE - 1], data.bytes[PAGE]], [0, 0, 0x55]);
      assert.deepEqual(refused(), [[0n, true, "not mapped"]]);
    });

    it("records a fault where an admin command's PRP1 is 0", () => {
      assert.equal(nvme.admin.run({ opcode: 0x06, dwords: [1] }).status, 0);
      assert.deepEqual(refused(), [[0n, true, "not mapped"]]);
    });

    it("records a fault at the last page there is, and stores zeros for it", () => {
      assert.equal(io(READ, 1, TOP), 0);
      assert.deepEqual(refused(), [[BigInt(TOP), true, "not mapped"]]);
      assert.deepEqual(
        zeroed(2, () => assert.equal(io(WRITE, 1, TOP), 0)),
        [true, false],
      );
      assert.deepEqual(refused(), [[BigInt(TOP), false, "not mapped"]]);
    });

    it("does not take the first page for the continuation of the last", () => {
      assert.deepEqual(
        zeroed(3, () => assert.equal(io(WRITE, 2, TOP, 0), 0)),
        [true, true, false],
      );
      assert.deepEqual(refused(), [
        [BigInt(TOP), false, "not mapped"],
        [0n, false, "not mapped"],
      ]);
    });
  });
