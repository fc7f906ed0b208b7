import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { Bench, blocks, CARD, NVME0, NVME1, PAGE, READ, WRITE } from "../support/raw-nvme.js";
import type { HostMemory, RawQueue } from "../support/raw-nvme.js";

const READ_WRITE = { read: true, write: true };
const UNMAPPED = 0x7000_0000;

describe("loopback IOMMU", () => {
  let bench: Bench;
  let queue: RawQueue;
  let data: HostMemory;

  beforeEach(() => {
    bench = new Bench();
    const nvme = bench.nvme(NVME1).enable();
    queue = nvme.createPair(nvme.queue(1, 8));
    data = bench.host(16 * PAGE);
  });
  afterEach(() => {
    bench.close();
  });

  const io = (opcode: number, prp1: number, lba = 0, prp2 = 0, count = 8) =>
    queue.run({ opcode, nsid: 1, prp1, prp2, dwords: blocks(lba, count) }).status;

  it("drops a device's write to an unmapped IOVA, records it, and the command succeeds", () => {
    assert.equal(io(READ, UNMAPPED), 0);
    assert.deepEqual(bench.space.takeFaults(), [
      { device: NVME1, iova: BigInt(UNMAPPED), write: true, reason: "not mapped" },
    ]);
    assert.equal(bench.native.traffic().hostMemoryBytes, 0);
    assert.deepEqual(bench.space.takeFaults(), [], "faults are taken once");
  });

  it("puts zeros on the media where a device reads an unmapped IOVA", () => {
    data.bytes.fill(0xaa, 0, PAGE);
    assert.equal(io(WRITE, data.iova), 0);
    assert.equal(io(WRITE, UNMAPPED), 0);
    assert.equal(bench.space.takeFaults()?.[0]?.write, false);
    assert.equal(io(READ, data.iova), 0);
    assert.ok(data.bytes.subarray(0, PAGE).every((byte) => byte === 0));
  });

  it("keeps a device from writing what is mapped for reading only, and the other way round", () => {
    const readable = bench.host(PAGE, { read: true, write: false });
    readable.bytes.fill(0x11);
    assert.equal(io(WRITE, readable.iova), 0);
    assert.deepEqual(bench.space.takeFaults(), []);
    assert.equal(io(READ, readable.iova, 64), 0);
    assert.equal(readable.bytes[0], 0x11);
    assert.match(bench.space.takeFaults()?.[0]?.reason ?? "", /not for writing/);

    const writable = bench.host(PAGE, { read: false, write: true });
    assert.equal(io(READ, writable.iova), 0);
    assert.equal(writable.bytes[0], 0x11);
    assert.deepEqual(bench.space.takeFaults(), []);
    assert.equal(io(WRITE, writable.iova), 0);
    assert.match(bench.space.takeFaults()?.[0]?.reason ?? "", /not for reading/);
  });

  it("ends a device's access with unmap()", () => {
    assert.equal(io(READ, data.iova), 0);
    bench.space.unmap(BigInt(data.iova), data.memory.size);
    data.bytes.fill(0x77);
    assert.equal(io(READ, data.iova), 0);
    assert.ok(data.bytes.every((byte) => byte === 0x77));
    assert.equal(bench.space.takeFaults()?.length, 1);
  });

  it("drops one bad page of a transfer and lets the good ones through", () => {
    const list = bench.host(PAGE);
    const entries = new BigUint64Array(list.memory.buffer);
    entries[0] = BigInt(UNMAPPED);
    entries[1] = BigInt(data.iova + 2 * PAGE);
    data.bytes.fill(0x55);
    assert.equal(io(READ, data.iova, 0, list.iova, 24), 0);
    const isWritten = (page: number) => data.bytes[page * PAGE] === 0;
    assert.deepEqual([0, 1, 2, 3].map(isWritten), [true, false, true, false]);
    assert.equal(bench.space.takeFaults()?.length, 1);
  });

  it("fails a command whose PRP list cannot be read", () => {
    assert.equal(io(READ, data.iova, 0, UNMAPPED, 24), 0x4004); // Data Transfer Error, DNR
  });

  it("keeps adjacent mappings apart in permission, across one transfer", () => {
    const memory = bench.keep(addon().allocatePinned(2 * PAGE, false));
    const iova = 0x5000_0000;
    bench.space.map(memory, 0, PAGE, BigInt(iova), READ_WRITE);
    bench.space.map(memory, PAGE, PAGE, BigInt(iova + PAGE), { read: true, write: false });
    const bytes = new Uint8Array(memory.buffer).fill(0x42);
    assert.equal(io(READ, iova, 0, iova + PAGE, 16), 0);
    assert.deepEqual([bytes[0], bytes[PAGE - 1], bytes[PAGE]], [0, 0, 0x42]);
    assert.equal(bench.space.takeFaults()?.[0]?.iova, BigInt(iova + PAGE));
  });

  it("keeps the newest faults and says how many were lost", () => {
    for (let i = 0; i < 300; i++) io(READ, UNMAPPED + i * PAGE);
    const faults = bench.space.takeFaults() ?? [];
    assert.equal(faults.length, 256);
    assert.match(faults[0]?.reason ?? "", /44 faults before this one were lost/);
    assert.equal(faults.at(-1)?.iova, BigInt(UNMAPPED + 299 * PAGE));
  });

  it("refuses IOVAs in the interrupt range, past its width, and overlapping ones", () => {
    const map = (iova: bigint) => () => {
      bench.space.map(data.memory, 0, PAGE, iova, READ_WRITE);
    };
    assert.throws(map(0xfee0_0000n), { code: "IOVA_RANGE" });
    assert.throws(map(2n ** 48n), { code: "IOVA_RANGE" });
    assert.throws(map(BigInt(data.iova + PAGE)), { code: "IOVA_IN_USE" });
    assert.throws(map(0x123n), { code: "BAD_RANGE" });
    assert.throws(
      () => {
        bench.space.map(data.memory, 0, PAGE, 0x9000_0000n, { read: false, write: false });
      },
      { code: "BAD_RANGE" },
    );
    map(2n ** 48n - 4096n)();
    map(0xfef0_0000n)();
  });

  it("describes itself as type1 does", () => {
    const { ranges, pageSizes, mappingsAvailable } = bench.space.info();
    assert.deepEqual(ranges, [
      { first: 0n, last: 0xfedf_ffffn },
      { first: 0xfef0_0000n, last: 2n ** 48n - 1n },
    ]);
    assert.equal(pageSizes & 0x1000n, 0x1000n);
    bench.space.map(data.memory, 0, PAGE, 0x9000_0000n, READ_WRITE);
    assert.equal(bench.space.info().mappingsAvailable, (mappingsAvailable ?? 0) - 1);
  });

  it("has 39 bits where the machine says so", () => {
    const narrow = new Bench({ ...builtinMachines.default, iovaBits: 39 });
    narrow.device(CARD);
    assert.equal(narrow.space.info().ranges.at(-1)?.last, 2n ** 39n - 1n);
    narrow.close();
  });

  it("knows its limits, and maps, only once a device is attached", () => {
    const machine = addon().createLoopbackMachine(builtinMachines.default);
    const space = machine.openAddressSpace();
    assert.throws(() => space.info(), { code: "NO_DEVICE" });
    assert.throws(
      () => {
        space.map(data.memory, 0, PAGE, 0x1000n, READ_WRITE);
      },
      { code: "NO_DEVICE" },
    );
    space.close();
    machine.close();
  });

  it("stops at its limit of mappings", () => {
    const left = bench.space.info().mappingsAvailable ?? 0;
    const base = 0x1_0000_0000;
    for (let i = 0; i < left; i++)
      bench.space.map(data.memory, 0, PAGE, BigInt(base + i * PAGE), READ_WRITE);
    assert.throws(
      () => {
        bench.space.map(data.memory, 0, PAGE, BigInt(base + left * PAGE), READ_WRITE);
      },
      { code: "MAPPING_LIMIT" },
    );
    data.bytes.fill(0x33, 0, PAGE);
    assert.equal(io(READ, base + (left - 1) * PAGE), 0);
    assert.equal(data.bytes[0], 0);
  });

  it("leads an IOVA to a peer's BAR, by way of the root complex", () => {
    const card = bench.peerMemory(CARD);
    card.bytes.fill(0x99, 0, PAGE);
    const iova = 0x8000_0000; // not its bus address
    bench.space.map(card.memory, 0, card.memory.size, BigInt(iova), READ_WRITE);
    bench.native.resetTraffic();
    assert.equal(io(READ, iova), 0);
    assert.equal(card.bytes[0], 0);
    const { rootComplexBytes, hostMemoryBytes } = bench.native.traffic();
    assert.deepEqual([rootComplexBytes, hostMemoryBytes], [PAGE, 0]);
  });

  it("holds mappings of a BAR for dead once its device was reset, until mapped again", () => {
    const card = bench.peerMemory(CARD);
    const iova = 0x8000_0000n;
    const map = () => {
      bench.space.map(card.memory, 0, card.memory.size, iova, READ_WRITE);
    };
    map();
    bench.device(CARD).reset();
    card.bytes.fill(0x99, 0, PAGE);
    assert.equal(io(READ, Number(iova)), 0);
    assert.equal(card.bytes[0], 0x99);
    assert.match(bench.space.takeFaults()?.[0]?.reason ?? "", /reset/);
    bench.space.unmap(iova, card.memory.size);
    map();
    assert.equal(io(READ, Number(iova)), 0);
    assert.equal(card.bytes[0], 0);
  });

  it("does not map memory of another machine's device", () => {
    const other = new Bench();
    const foreign = other.peerMemory(NVME0);
    assert.throws(
      () => {
        bench.space.map(foreign.memory, 0, PAGE, 0x9000_0000n, READ_WRITE);
      },
      { code: "BAD_RANGE" },
    );
    other.close();
  });
});
