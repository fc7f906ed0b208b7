import assert from "node:assert/strict";
import { configureCmb } from "#lib/platform/cmb-schema.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import {
  Bench,
  blocks,
  CC_ENABLE,
  CFS,
  machineWith,
  NVME0,
  NVME1,
  PAGE,
  READ,
  Register,
  SGL,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

const MIB = 1 << 20;
const INVALID_USE = 0x4012; // Invalid Use of Controller Memory Buffer

describe("loopback controller memory buffers", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let cmb: HostMemory;
  let data: HostMemory;

  /** Everything is at an offset of 64 KiB in the BAR, so that nothing is right by accident. */
  const start = (change: Partial<Parameters<typeof configureCmb>[0]> = {}) => {
    const buffer = configureCmb({ size: MIB, offset: 1 << 16, ...change });
    const namespaces = [{ size: MIB, block: 512 as const, file: null }];
    bench = new Bench(machineWith({ cmb: buffer, namespaces }));
    nvme = bench.nvme(NVME0);
    const memory = bench.keep(nvme.device.region(2).map(buffer.offset, buffer.size));
    const iova = bench.busAddress(NVME0, 2) + buffer.offset;
    bench.space.map(memory, 0, memory.size, BigInt(iova), { read: true, write: true });
    cmb = {
      memory,
      iova,
      bytes: new Uint8Array(memory.buffer),
      words: new Int32Array(memory.buffer),
    };
    if (!buffer.legacy) nvme.bar0.write64(Register.CMBMSC, BigInt(iova) | 3n);
    data = bench.host(4 * PAGE);
    nvme.enable();
  };
  const registers = () =>
    [Register.CMBLOC, Register.CMBSZ].map((offset) => nvme.bar0.read32(offset));
  /** A queue pair of which one or both are in the CMB. */
  const pair = (sq: boolean, cq: boolean, at = 0): [RawQueue, number, number] => {
    const queue = nvme.queue(1, 8);
    const part = (offset: number) => ({
      iova: cmb.iova + offset,
      words: new Int32Array(cmb.memory.buffer, offset),
    });
    if (sq) Object.assign(queue, { sq: part(at) });
    if (cq) Object.assign(queue, { cq: part(at + PAGE) });
    const cqStatus = nvme.createCq(1, 8, queue.cq.iova).status;
    const sqStatus = cqStatus === 0 ? nvme.createSq(1, 8, queue.sq.iova, 1).status : -1;
    return [queue, sqStatus, cqStatus];
  };
  const command = (opcode: number, prp1: number, prp2 = 0, count = 8) => ({
    ...{ opcode, nsid: 1, prp1, prp2 },
    dwords: blocks(0, count),
  });

  afterEach(() => {
    bench.close();
  });

  it("give their size and offset in the unit that CMBSZ names", () => {
    start({ size: 3 << 16, unit: 1 << 16, offset: 5 << 16 });
    const [location = 0, size = 0] = registers();
    assert.equal(location & 7, 2);
    assert.equal(location >>> 12, 5);
    assert.equal((size >>> 8) & 0xf, 1); // SZU: 64 KiB
    assert.equal(size >>> 12, 3);
    const region = nvme.device.region(2);
    assert.equal(region.size, 8 << 16);
    assert.deepEqual(region.mappable, [{ offset: 5 << 16, length: 3 << 16 }]);
    assert.equal(region.read32(0), 0, "outside of it there is nothing");
    region.write32(5 << 16, 0x1234_5678);
    assert.equal(cmb.words[0], 0x1234_5678);
  });

  it("hold queues, lists and data at their offset, and peers reach them there", () => {
    start();
    const [queue] = pair(true, true);
    cmb.bytes.fill(0x5a, 4 * PAGE, 5 * PAGE);
    assert.equal(queue.run(command(WRITE, cmb.iova + 4 * PAGE)).status, 0);
    const list = new BigUint64Array(cmb.memory.buffer, 2 * PAGE);
    for (let i = 0; i < 2; i++) list[i] = BigInt(cmb.iova + (6 + i) * PAGE);
    const read = command(READ, cmb.iova + 5 * PAGE, cmb.iova + 2 * PAGE, 24);
    assert.equal(queue.run(read).status, 0);
    assert.ok(cmb.bytes.subarray(5 * PAGE, 6 * PAGE).every((byte) => byte === 0x5a));
    const other = bench.nvme(NVME1).enable();
    const peer = other.createPair(other.queue(1, 4));
    assert.equal(peer.run(command(READ, cmb.iova + 4 * PAGE)).status, 0);
    assert.equal(cmb.bytes[4 * PAGE], 0);
    assert.deepEqual(bench.space.takeFaults(), []);
  });

  describe("before NVMe 1.4", () => {
    it("are there without being asked, at their bus address, and say that they are old", () => {
      start({ legacy: true });
      assert.equal(nvme.bar0.read32(Register.VS), 0x10300);
      assert.equal(nvme.identify(1).data.getUint32(80, true), 0x10300);
      assert.equal(nvme.identify(1).data.getUint8(111), 0, "CNTRLTYPE came with 1.4");
      assert.equal(nvme.bar0.read32(Register.CAP + 4) & (1 << 25), 0); // CAP.CMBS
      const [location = 0, size = 0] = registers();
      assert.equal(location & 0xff, 2, "what may be mixed came with 1.4");
      assert.equal(size & 0x1f, 0x1f);
      nvme.bar0.write64(Register.CMBMSC, 0xffff_ffff_ffff_ffffn);
      assert.equal(nvme.bar0.read64(Register.CMBMSC), 0n);
      const [queue] = pair(true, true);
      assert.equal(queue.run(command(READ, cmb.iova + 4 * PAGE)).status, 0);
      assert.deepEqual(registers(), [location, size]);
    });

    it("answer at their bus address whatever the IOMMU has there", () => {
      start({ legacy: true });
      const queue = nvme.createPair(nvme.queue(1, 4));
      bench.space.unmap(BigInt(cmb.iova), cmb.memory.size);
      const host = bench.keep(bench.host(PAGE).memory);
      bench.space.map(host, 0, PAGE, BigInt(cmb.iova), { read: true, write: true });
      cmb.bytes.fill(0x5a, 0, PAGE);
      assert.equal(queue.run(command(READ, cmb.iova)).status, 0);
      assert.equal(cmb.bytes[0], 0);
    });
  });

  for (const legacy of [false, true])
    describe(`with fewer abilities, ${legacy ? "before" : "since"} NVMe 1.4`, () => {
      it("refuse submission queues", () => {
        start({ legacy, sqs: false, lists: false });
        assert.equal((registers()[1] ?? 0) & 0x1f, 0x1a);
        assert.deepEqual(pair(true, false).slice(1), [INVALID_USE, 0]);
      });

      it("refuse completion queues", () => {
        start({ legacy, cqs: false });
        assert.deepEqual(pair(false, true).slice(1), [-1, INVALID_USE]);
        assert.deepEqual(pair(true, false).slice(1), [0, 0]);
      });

      it("refuse to be read from by writes", () => {
        start({ legacy, wds: false });
        const queue = nvme.createPair(nvme.queue(1, 4));
        assert.equal(queue.run(command(WRITE, cmb.iova)).status, INVALID_USE);
        assert.equal(queue.run(command(READ, cmb.iova)).status, 0);
      });

      it("refuse to be written to by reads, Identify's among them", () => {
        start({ legacy, rds: false });
        const queue = nvme.createPair(nvme.queue(1, 4));
        assert.equal(queue.run(command(READ, cmb.iova)).status, INVALID_USE);
        assert.equal(queue.run(command(WRITE, cmb.iova)).status, 0);
        const identify = { opcode: 0x06, prp1: cmb.iova, dwords: [1] };
        assert.equal(nvme.admin.run(identify).status, INVALID_USE);
      });

      it("refuse PRP lists and SGLs", () => {
        start({ legacy, lists: false });
        const [queue] = pair(true, true);
        const list = command(READ, data.iova, cmb.iova + 4 * PAGE, 24);
        assert.equal(queue.run(list).status, INVALID_USE);
        const sgl = new Uint8Array(16);
        new DataView(sgl.buffer).setBigUint64(0, BigInt(cmb.iova + 4 * PAGE), true);
        sgl.set([16, 0, 0, 0, 0, 0, 0, 0x30], 8); // a last segment of one descriptor
        const block = sgl.slice();
        new DataView(block.buffer).setBigUint64(0, BigInt(data.iova), true);
        block.set([0, 0x10, 0, 0, 0, 0, 0, 0], 8); // a data block of 4096 bytes
        cmb.bytes.set(block, 4 * PAGE);
        const read = { ...command(READ | SGL, 0), sgl };
        assert.equal(queue.run(read).status, INVALID_USE);
      });
    });

  describe("where nothing may be mixed", () => {
    beforeEach(() => {
      start({ mixed: false });
    });

    it("say so in CMBLOC", () => {
      assert.equal((registers()[0] ?? 0) & 0xff8, 0);
    });

    it("hold queues as a whole or not at all", () => {
      const edge = cmb.iova + cmb.memory.size - PAGE;
      const deep = 4096; // entries: a page holds 64 of them
      assert.equal(nvme.createCq(1, 512, edge).status, INVALID_USE);
      assert.equal(nvme.createCq(1, 256, edge).status, 0);
      assert.equal(nvme.createSq(1, deep, edge, 1).status, INVALID_USE);
    });

    it("hold the data of a command as a whole or not at all", () => {
      const [queue] = pair(true, true);
      const inside = cmb.iova + 4 * PAGE;
      assert.equal(queue.run(command(READ, data.iova, inside, 16)).status, INVALID_USE);
      assert.equal(queue.run(command(READ, inside, inside + PAGE, 16)).status, 0);
      assert.equal(queue.run(command(READ, data.iova, data.iova + PAGE, 16)).status, 0);
    });

    it("hold the lists of commands that lie there themselves, and no others", () => {
      const listAt = (target: number) => {
        const list = new BigUint64Array(cmb.memory.buffer, 4 * PAGE);
        for (let i = 0; i < 2; i++) list[i] = BigInt(target + (1 + i) * PAGE);
        return command(READ, target, cmb.iova + 4 * PAGE, 24);
      };
      const [inside] = pair(true, false);
      assert.equal(inside.run(listAt(data.iova)).status, 0);
      const outside = nvme.createPair(nvme.queue(2, 8));
      assert.equal(outside.run(listAt(data.iova)).status, INVALID_USE);
    });

    it("hold a list as a whole or not at all", () => {
      const [queue] = pair(true, false);
      const list = bench.host(PAGE);
      const entries = new BigUint64Array(cmb.memory.buffer, 4 * PAGE);
      entries[511] = BigInt(list.iova); // the last slot of a page leads on
      const target = new BigUint64Array(list.memory.buffer);
      target[0] = BigInt(data.iova);
      target[1] = BigInt(data.iova + PAGE);
      const read = command(READ, data.iova, cmb.iova + 4 * PAGE + 511 * 8, 24);
      assert.equal(queue.run(read).status, INVALID_USE);
    });
  });

  it("send a controller into fatal status that is to have its admin queues there and cannot", () => {
    start({ sqs: false, lists: false });
    nvme.bar0.write32(Register.CC, 0);
    nvme.bar0.write64(Register.ASQ, BigInt(cmb.iova));
    nvme.bar0.write32(Register.CC, CC_ENABLE);
    waitFor("CSTS.CFS", () => (nvme.csts() & CFS) !== 0);
  });
});
