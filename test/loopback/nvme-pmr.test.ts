import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { NvmeConfiguration } from "#lib/platform/machine-schema.js";
import type { HostMemory, RawNvme } from "../support/raw-nvme.js";
import {
  Bench,
  blocks,
  machineWith,
  NVME0,
  NVME1,
  PAGE,
  READ,
  Register,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

const MIB = 1 << 20;
const BAR = 4;
// NVMe 1.4 §3.1.23 to §3.1.28.
const PMRCAP = 0xe00;
const PMRCTL = 0xe04;
const PMRSTS = 0xe08;
const PMRMSCL = 0xe14;
const PMRMSCU = 0xe18;
const NRDY = 1 << 8;
const CBAI = 1 << 12;

describe("the loopback persistent memory region", () => {
  let bench: Bench;
  let nvme: RawNvme;

  const start = (pmr: NvmeConfiguration["pmr"] = { size: 2 * MIB, file: null }) => {
    const namespaces = [{ size: MIB, block: 512 as const, file: null }];
    bench = new Bench(machineWith({ pmr, namespaces }));
    nvme = bench.nvme(NVME0);
  };
  const status = () => nvme.bar0.read32(PMRSTS);
  const enable = () => {
    nvme.bar0.write32(PMRCTL, 1);
    waitFor("PMRSTS.NRDY to clear", () => (status() & NRDY) === 0);
  };
  const command = (opcode: number, address: number) => ({
    ...{ opcode, nsid: 1, prp1: address },
    dwords: blocks(0, 8),
  });
  const setAddress = (address: number) => {
    nvme.bar0.write32(PMRMSCU, Math.floor(address / 2 ** 32));
    nvme.bar0.write32(PMRMSCL, (address % 2 ** 32) + 2);
  };

  beforeEach(() => {
    start();
  });
  afterEach(() => {
    bench.close();
  });

  it("is all of BAR 4, and PMRCAP says what it can do", () => {
    assert.equal(nvme.bar0.read32(Register.CAP + 4) & (1 << 24), 1 << 24); // CAP.PMRS
    const capabilities = nvme.bar0.read32(PMRCAP);
    assert.equal(capabilities & 0x18, 0x18); // RDS, WDS
    assert.equal((capabilities >>> 5) & 0x7, BAR);
    assert.equal((capabilities >>> 8) & 0x3, 0); // PMRTU: 500 ms
    assert.equal((capabilities >>> 10) & 0xf, 0b10); // PMRWBM: a read of PMRSTS
    assert.equal((capabilities >>> 24) & 1, 1); // CMSS
    const region = nvme.device.region(BAR);
    assert.equal(region.size, 2 * MIB);
    assert.deepEqual(region.mappable, [{ offset: 0, length: 2 * MIB }]);
  });

  it("is not ready before it was enabled, nor after it was disabled", () => {
    assert.equal(status(), NRDY);
    enable();
    assert.equal(nvme.bar0.read32(PMRCTL), 1);
    nvme.bar0.write32(PMRCTL, 0);
    waitFor("PMRSTS.NRDY", () => status() === NRDY);
  });

  it("is not there where the machine gives it none", () => {
    const other = bench.nvme(NVME1);
    assert.equal(other.bar0.read32(Register.CAP + 4) & (1 << 24), 0);
    other.bar0.write32(PMRCTL, 1);
    assert.deepEqual(
      [PMRCAP, PMRCTL, PMRSTS].map((at) => other.bar0.read32(at)),
      [0, 0, 0],
    );
    assert.equal(other.device.region(BAR).size, 0);
  });

  it("keeps its contents over resets of the controller and of the function", () => {
    enable();
    const region = nvme.device.region(BAR);
    region.write32(0x1000, 0x1234_5678);
    nvme.enable();
    nvme.bar0.write32(Register.CC, 0);
    assert.equal(nvme.bar0.read32(PMRCTL), 1, "a controller reset leaves it on");
    nvme.device.reset();
    assert.equal(nvme.bar0.read32(PMRCTL), 0);
    assert.equal(status(), NRDY);
    enable();
    assert.equal(region.read32(0x1000), 0x1234_5678);
  });

  describe("with a controller memory space", () => {
    let pmr: HostMemory;

    beforeEach(() => {
      enable();
      pmr = bench.peer(NVME0, BAR);
      nvme.enable();
    });

    it("is reached by its own controller inside, by peers through the fabric", () => {
      // An address that nobody else has: without PMRMSC nothing would arrive.
      const inside = 0x5_0000_0000;
      setAddress(inside);
      assert.equal(status(), 0);
      assert.equal(nvme.bar0.read32(PMRMSCU), 5);
      const queue = nvme.createPair(nvme.queue(1, 4));
      pmr.bytes.fill(0x3c, PAGE, 2 * PAGE);
      bench.native.resetTraffic();
      assert.equal(queue.run(command(WRITE, inside + PAGE)).status, 0);
      pmr.bytes.fill(0);
      assert.equal(queue.run(command(READ, inside + 2 * PAGE)).status, 0);
      assert.ok(pmr.bytes.subarray(2 * PAGE, 3 * PAGE).every((byte) => byte === 0x3c));
      assert.equal(bench.link(NVME0).upBytes + bench.link(NVME0).downBytes, 0);

      const other = bench.nvme(NVME1).enable();
      const peer = other.createPair(other.queue(1, 4));
      assert.equal(peer.run(command(READ, pmr.iova + 2 * PAGE)).status, 0);
      assert.equal(pmr.bytes[2 * PAGE], 0);
      assert.deepEqual(bench.space.takeFaults(), []);
    });

    it("is not reached by its own controller while it is disabled", () => {
      const inside = 0x5_0000_0000;
      setAddress(inside);
      nvme.bar0.write32(PMRCTL, 0);
      waitFor("PMRSTS.NRDY", () => status() === NRDY);
      const queue = nvme.createPair(nvme.queue(1, 4));
      pmr.bytes.fill(0x3c, 0, PAGE);
      assert.equal(queue.run(command(READ, inside)).status, 0);
      assert.equal(pmr.bytes[0], 0x3c);
      assert.equal(bench.space.takeFaults()?.[0]?.iova, BigInt(inside));
    });

    it("has one beside that of a CMB", () => {
      const [cmbBase, pmrBase] = [0x6_0000_0000, 0x5_0000_0000];
      const cmb = bench.peerMemory(NVME0);
      setAddress(pmrBase);
      nvme.bar0.write64(Register.CMBMSC, BigInt(cmbBase) | 3n);
      const queue = nvme.createPair(nvme.queue(1, 4));
      pmr.bytes.fill(0x3c, 0, PAGE);
      assert.equal(queue.run(command(WRITE, pmrBase)).status, 0);
      assert.equal(queue.run(command(READ, cmbBase)).status, 0);
      assert.ok(cmb.bytes.subarray(0, PAGE).every((byte) => byte === 0x3c));
    });

    it("says that an address past the end of memory is invalid", () => {
      nvme.bar0.write32(PMRMSCU, 0xffff_ffff);
      nvme.bar0.write32(PMRMSCL, 0xffff_f002);
      assert.equal(status(), CBAI);
      setAddress(0x5_0000_0000);
      assert.equal(status(), 0);
    });
  });

  it("may lie in a file, which outlives the machine", () => {
    bench.close();
    const directory = mkdtempSync(path.join(tmpdir(), "p2pmem-"));
    const file = path.join(directory, "pmr.img");
    try {
      start({ size: MIB, file });
      enable();
      nvme.device.region(BAR).write32(0x2000, 0x4433_2211);
      bench.close();
      assert.deepEqual([...readFileSync(file).subarray(0x2000, 0x2004)], [0x11, 0x22, 0x33, 0x44]);
      start({ size: MIB, file });
      enable();
      assert.equal(nvme.device.region(BAR).read32(0x2000), 0x4433_2211);
      bench.close();
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
