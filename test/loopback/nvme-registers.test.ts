import assert from "node:assert/strict";
import {
  Bench,
  blocks,
  CC_ENABLE,
  CFS,
  machineWith,
  NVME0,
  NVME1,
  RDY,
  READ,
  Register,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";
import type { RawNvme } from "../support/raw-nvme.js";

const CMB_BYTES = 64 << 20;

describe("loopback NVMe registers", () => {
  let bench: Bench;
  let nvme: RawNvme;

  beforeEach(() => {
    bench = new Bench();
    nvme = bench.nvme(NVME0);
  });
  afterEach(() => {
    bench.close();
  });

  it("shows its capabilities", () => {
    const cap = nvme.bar0.read64(Register.CAP);
    const field = (shift: bigint, bits: bigint) => Number((cap >> shift) & ((1n << bits) - 1n));
    assert.equal(field(0n, 16n), 4095); // MQES
    assert.equal(field(16n, 1n), 1); // CQR
    assert.equal(field(32n, 4n), 0); // DSTRD
    assert.equal(field(37n, 8n), 1); // CSS: NVM
    assert.deepEqual([field(48n, 4n), field(52n, 4n)], [0, 0]); // MPSMIN, MPSMAX
    assert.equal(field(57n, 1n), 1); // CMBS
    assert.equal(bench.nvme(NVME1).bar0.read32(Register.CAP + 4) & (1 << 25), 0);
    assert.equal(nvme.bar0.read32(Register.VS), 0x10400);
    assert.equal(nvme.bar0.read16(Register.VS + 2), 1);
    assert.equal(nvme.bar0.read8(Register.VS + 1), 4);
  });

  it("maps the doorbell page, and no page with registers or the MSI-X table", () => {
    assert.deepEqual(nvme.bar0.mappable, [{ offset: 4096, length: 4096 }]);
    assert.throws(() => nvme.bar0.map(0, 4096), { code: "NOT_MAPPABLE" });
    assert.throws(() => nvme.bar0.map(8192, 4096), { code: "NOT_MAPPABLE" });
    assert.throws(() => nvme.bar0.read32(2), { code: "BAD_RANGE" });
    assert.throws(() => nvme.bar0.read32(nvme.bar0.size), { code: "BAD_RANGE" });
  });

  it("becomes ready after CC.EN, not ready without it, and keeps AQA, ASQ and ACQ", () => {
    nvme.enable();
    const asq = nvme.bar0.read64(Register.ASQ);
    nvme.bar0.write32(Register.CC, CC_ENABLE & ~1);
    waitFor("not ready", () => (nvme.csts() & RDY) === 0);
    assert.equal(nvme.bar0.read64(Register.ASQ), asq);
    assert.notEqual(asq, 0n);
    nvme.enable();
    assert.equal(nvme.identify(1).status, 0);
  });

  it("reports fatal status for an admin queue of one entry and for an unknown command set", () => {
    for (const [aqa, cc] of [
      [0, CC_ENABLE],
      [0x001f001f, CC_ENABLE | (3 << 4)],
      [0x001f001f, CC_ENABLE | (1 << 7)],
    ] as const) {
      nvme.bar0.write32(Register.AQA, aqa);
      nvme.bar0.write32(Register.CC, cc);
      waitFor("CSTS.CFS", () => (nvme.csts() & CFS) !== 0);
      assert.equal(nvme.csts() & RDY, 0);
      nvme.bar0.write32(Register.CC, 0);
      waitFor("CSTS to clear", () => nvme.csts() === 0);
    }
  });

  it("reports fatal status when its queues cannot be reached", () => {
    nvme.enable();
    nvme.bar0.write32(Register.CC, 0);
    nvme.bar0.write64(Register.ASQ, 0x6000_0000n); // nothing is mapped there
    nvme.bar0.write32(Register.CC, CC_ENABLE);
    waitFor("CSTS.RDY", () => (nvme.csts() & RDY) !== 0);
    nvme.admin.ring(1);
    waitFor("CSTS.CFS", () => (nvme.csts() & CFS) !== 0);
    assert.equal(bench.space.takeFaults()?.[0]?.iova, 0x6000_0000n);
  });

  it("answers a shutdown notification", () => {
    nvme.enable();
    nvme.bar0.write32(Register.CC, CC_ENABLE | (1 << 14));
    waitFor("CSTS.SHST", () => (nvme.csts() >> 2) % 4 === 2);
  });

  it("comes out of a reset as after power-on, memory untouched", () => {
    nvme.enable();
    const queue = nvme.createPair(nvme.queue(1, 8));
    const data = bench.host(4096);
    data.bytes.fill(0x61);
    const command = { nsid: 1, prp1: data.iova, dwords: blocks(3, 8) };
    queue.run({ ...command, opcode: WRITE });
    nvme.bar0.write64(Register.CMBMSC, 3n);
    nvme.device.reset();
    for (const register of [
      Register.CC,
      Register.CSTS,
      Register.AQA,
      Register.ASQ,
      Register.CMBMSC,
    ])
      assert.equal(nvme.bar0.read32(register), 0);
    assert.equal(nvme.bar0.read32(Register.CMBSZ), 0);
    assert.equal(nvme.device.region(7).read16(4) & 4, 0, "bus mastering is off");
    nvme.enable();
    assert.equal(nvme.createSq(1, 8, queue.sq.iova, 1).status, 0x4100, "its queues are gone");
    const again = nvme.createPair(nvme.queue(1, 8));
    data.bytes.fill(0);
    again.run({ ...command, opcode: READ });
    assert.equal(data.bytes[0], 0x61);
  });

  it("takes a function level reset through configuration space", () => {
    nvme.enable();
    const config = nvme.device.region(7);
    config.write16(0x48, 0x8000); // Device Control, Initiate Function Level Reset
    assert.equal(nvme.csts(), 0);
    assert.equal(config.read16(0x48), 0);
  });

  it("hides CMBLOC and CMBSZ until CMBMSC.CRE is set", () => {
    const read = () => [nvme.bar0.read32(Register.CMBLOC), nvme.bar0.read32(Register.CMBSZ)];
    assert.deepEqual(read(), [0, 0]);
    nvme.bar0.write64(Register.CMBMSC, 1n);
    assert.equal(nvme.bar0.read64(Register.CMBMSC), 1n);
    const [location = 0, size = 0] = read();
    assert.equal(location & 7, 2); // BIR
    assert.equal(location >>> 12, 0); // OFST
    assert.equal((size >>> 12) * 2 ** (12 + 4 * ((size >>> 8) & 0xf)), CMB_BYTES);
    assert.equal(size & 0x1f, 0x1f); // SQS, CQS, LISTS, RDS, WDS
    nvme.bar0.write64(Register.CMBMSC, 0n);
    assert.deepEqual(read(), [0, 0]);
  });

  it("has no CMB where the machine gives it none", () => {
    const other = bench.nvme(NVME1);
    other.bar0.write64(Register.CMBMSC, 1n);
    assert.equal(other.bar0.read32(Register.CMBSZ), 0);
    assert.equal(other.device.region(2).size, 0);
  });

  it("says in CMBSTS that a controller memory space past the end of memory is invalid", () => {
    nvme.bar0.write64(Register.CMBMSC, 0xffff_ffff_ffff_f003n);
    assert.equal(nvme.bar0.read32(Register.CMBSTS) & 1, 1);
    nvme.bar0.write64(Register.CMBMSC, 0x1_0000_0003n);
    assert.equal(nvme.bar0.read32(Register.CMBSTS) & 1, 0);
  });

  it("runs queues and PRP lists that lie in its CMB", () => {
    const cmb = bench.peer(NVME0);
    nvme.bar0.write64(Register.CMBMSC, BigInt(cmb.iova) | 3n);
    nvme.enable();
    const at = (offset: number) => ({
      iova: cmb.iova + offset,
      words: new Int32Array(cmb.memory.buffer, offset),
    });
    const queue = nvme.queue(1, 8);
    Object.assign(queue, { sq: at(0), cq: at(4096) });
    nvme.createPair(queue);
    const list = new BigUint64Array(cmb.memory.buffer, 8192);
    const data = bench.host(4 * 4096);
    data.bytes.fill(0x13);
    for (let page = 1; page < 4; page++) list[page - 1] = BigInt(data.iova + page * 4096);
    bench.native.resetTraffic();
    const command = { nsid: 1, prp1: data.iova, prp2: cmb.iova + 8192, dwords: blocks(0, 32) };
    assert.equal(queue.run({ ...command, opcode: READ }).status, 0);
    assert.ok(data.bytes.every((byte) => byte === 0));
    assert.equal(bench.native.traffic().hostControlBytes, 0);
  });

  it("spaces its doorbells by CAP.DSTRD", () => {
    const spaced = new Bench(machineWith({ doorbellStride: 3 }));
    const wide = spaced.nvme(NVME0);
    assert.equal(wide.stride, 8);
    wide.enable();
    const queue = wide.createPair(wide.queue(64, 4));
    assert.equal(queue.run({ opcode: 0, nsid: 1 }).status, 0);
    spaced.close();
  });

  it("gives up all ones while memory decode is off", () => {
    const config = nvme.device.region(7);
    config.write16(4, 0);
    assert.equal(nvme.csts(), 0xffffffff);
    nvme.bar0.write32(Register.AQA, 0x001f001f);
    config.write16(4, 2);
    nvme.device.restore();
    assert.equal(nvme.bar0.read32(Register.AQA), 0);
  });

  it("keeps the read-only bits of its configuration space", () => {
    const config = nvme.device.region(7);
    const before = [config.read32(0), config.read32(0x10), config.read32(8)];
    for (const offset of [0, 0x10, 8]) config.write32(offset, 0xffffffff);
    assert.deepEqual([config.read32(0), config.read32(0x10), config.read32(8)], before);
    config.write16(4, 0xffff);
    assert.equal(config.read16(4), 0x0406);
  });
});
