import assert from "node:assert/strict";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import { Bench, blocks, machineWith, NVME0, READ, WRITE } from "../support/raw-nvme.js";

const DATASET_MANAGEMENT = 0x09;
const WRITE_ZEROES = 0x08;
const SET_FEATURES = 0x09;
const GET_FEATURES = 0x0a;
const BLOCKS = 2048;
const INVALID_FIELD = 0x4002;
const INVALID_NAMESPACE = 0x400b;

describe("what loopback NVMe controllers need not have", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;

  beforeEach(() => {
    const namespaces = [{ size: BLOCKS * 512, block: 512 as const, file: null }];
    bench = new Bench(machineWith({ namespaces }));
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(1 << 16);
  });
  afterEach(() => {
    bench.close();
  });

  describe("Dataset Management", () => {
    const manage = (ranges: [slba: number, count: number][], attributes = 4) => {
      const view = new DataView(data.memory.buffer);
      for (const [i, [slba, count]] of ranges.entries()) {
        view.setUint32(16 * i + 4, count, true);
        view.setBigUint64(16 * i + 8, BigInt(slba), true);
      }
      const dwords = [ranges.length - 1, attributes];
      return queue.run({ opcode: DATASET_MANAGEMENT, nsid: 1, prp1: data.iova, dwords }).status;
    };
    const fill = () => {
      data.bytes.fill(0x7e);
      const prps = { prp1: data.iova, prp2: data.iova + 4096 };
      queue.run({ opcode: WRITE, nsid: 1, ...prps, dwords: blocks(0, 16) });
    };
    const firstBytes = () => {
      data.bytes.fill(0xee);
      const prps = { prp1: data.iova, prp2: data.iova + 4096 };
      queue.run({ opcode: READ, nsid: 1, ...prps, dwords: blocks(0, 16) });
      return Array.from({ length: 16 }, (_, block) => data.bytes[block * 512]);
    };

    beforeEach(fill);

    it("deallocates ranges, which read as zeros then, as DLFEAT says", () => {
      assert.equal(nvme.identify(0, 1).data.getUint8(33), 0b1001);
      assert.equal(nvme.identify(1).data.getUint16(520, true) & (1 << 2), 1 << 2);
      assert.equal(manage([[2, 3], [8, 0], [15, 1]]), 0); // prettier-ignore
      const bytes = firstBytes();
      assert.deepEqual(bytes.map((byte) => (byte === 0 ? "0" : "x")).join(""), "xx000xxxxxxxxxx0");
    });

    it("takes 256 ranges", () => {
      const ranges = Array.from({ length: 256 }, (_, i): [number, number] => [i, 1]);
      assert.equal(manage(ranges), 0);
      assert.ok(firstBytes().every((byte) => byte === 0));
    });

    it("deallocates nothing where one range does not exist, or where nobody asked", () => {
      assert.equal(manage([[0, 1], [BLOCKS - 1, 2]]), 0x4080); // prettier-ignore
      assert.equal(manage([[0, 1]], 3), 0);
      assert.ok(firstBytes().every((byte) => byte === 0x7e));
      const elsewhere = { opcode: DATASET_MANAGEMENT, nsid: 2, prp1: data.iova, dwords: [0, 4] };
      assert.equal(queue.run(elsewhere).status, INVALID_NAMESPACE);
    });

    it("is what Write Zeroes does with DEAC", () => {
      const [low = 0, high = 0, count = 0] = blocks(4, 4);
      const dwords = [low, high, count | (1 << 25)];
      assert.equal(queue.run({ opcode: WRITE_ZEROES, nsid: 1, dwords }).status, 0);
      assert.deepEqual(firstBytes().slice(3, 9), [0x7e, 0, 0, 0, 0, 0x7e]);
    });
  });

  it("lists the log pages that it has", () => {
    const dwords = [255 << 16];
    assert.equal(nvme.admin.run({ opcode: 0x02, prp1: data.iova, dwords }).status, 0);
    const supported = Array.from({ length: 256 }, (_, id) => id).filter(
      (id) => ((data.words[id] ?? 0) & 1) === 1,
    );
    assert.deepEqual(supported, [0, 1, 2, 3]);
  });

  describe("Identify of NVMe 2.0", () => {
    const identify = (cns: number, nsid: number, commandSet = 0) => {
      data.bytes.fill(0xff, 0, 4096);
      const command = { opcode: 0x06, nsid, prp1: data.iova };
      return nvme.admin.run({ ...command, dwords: [cns, commandSet << 24] }).status;
    };

    it("answers for the NVM command set", () => {
      assert.equal(identify(0x05, 1), 0);
      assert.ok(data.bytes.subarray(0, 4096).every((byte) => byte === 0));
      assert.equal(identify(0x06, 0), 0);
      assert.ok(data.bytes.subarray(0, 4096).every((byte) => byte === 0));
      assert.equal(identify(0x07, 0), 0);
      assert.deepEqual([...data.words.subarray(0, 2)], [1, 0]);
      assert.equal(identify(0x08, 1), 0);
      assert.equal(data.bytes[14], 1); // NSTAT: ready
    });

    it("refuses other command sets and namespaces that are not there", () => {
      for (const cns of [0x05, 0x06, 0x07]) assert.equal(identify(cns, 1, 2), INVALID_FIELD);
      for (const cns of [0x05, 0x08]) {
        assert.equal(identify(cns, 0), INVALID_NAMESPACE);
        assert.equal(identify(cns, 2), INVALID_NAMESPACE);
      }
      assert.equal(identify(0x07, 0xffffffff | 0), INVALID_NAMESPACE);
      for (const cns of [0x04, 0x09, 0x10, 0x1c]) assert.equal(identify(cns, 1), INVALID_FIELD);
    });
  });

  describe("features", () => {
    const get = (id: number, select = 0, dword11 = 0) =>
      nvme.admin.run({
        ...{ opcode: GET_FEATURES, prp1: data.iova },
        dwords: [id | (select << 8), dword11],
      });
    const set = (id: number, value = 0) =>
      nvme.admin.run({ opcode: SET_FEATURES, prp1: data.iova, dwords: [id, value] });

    it("have a current, a default and a saved value, and capabilities", () => {
      assert.equal(nvme.identify(1).data.getUint16(520, true) & (1 << 4), 1 << 4);
      assert.equal(set(4, 300).status, 0); // temperature threshold
      const values = [0, 1, 2, 3].map((select) => get(4, select).result);
      assert.deepEqual(values, [300, 343, 343, 0b100]);
      set(9, 5 | (1 << 16)); // interrupt vector configuration
      assert.deepEqual([get(9, 0, 5).result, get(9, 1, 5).result], [5 | (1 << 16), 5]);
      assert.equal(get(4, 4).status, INVALID_FIELD);
      for (const id of [0, 3, 0x0c, 0x10, 0x81]) {
        assert.equal(get(id, 3).status, INVALID_FIELD);
        assert.equal(set(id).status, INVALID_FIELD);
      }
    });

    it("keep the interrupt coalescing and event configuration that was set, until a reset", () => {
      for (const id of [8, 0x0b]) set(id, 0x0302);
      assert.deepEqual([get(8).result, get(0x0b).result], [0x0302, 0x0302]);
      nvme.bar0.write32(0x14, 0);
      nvme.enable();
      assert.deepEqual([get(8).result, get(0x0b).result], [0, 0]);
    });

    it("tell the time from when the host set it on", () => {
      const time = () => {
        assert.equal(get(0x0e).status, 0);
        return new DataView(data.memory.buffer).getBigUint64(0, true);
      };
      assert.equal(time() >> 48n, 0n, "it counts from the reset");
      const now = 1_700_000_000_000n;
      new DataView(data.memory.buffer).setBigUint64(0, now, true);
      assert.equal(set(0x0e).status, 0);
      const later = time();
      assert.equal(later >> 48n, 2n, "the host set it");
      assert.ok((later & 0xffff_ffff_ffffn) >= now);
      get(0x0e, 1);
      assert.equal(new DataView(data.memory.buffer).getBigUint64(0, true), 0n);
    });

    it("hold what the host says of its behavior", () => {
      data.bytes.fill(0, 0, 512);
      data.bytes[0] = 1; // ACRE
      data.bytes[4] = 0b0100; // CDFE: format 2
      assert.equal(set(0x16).status, 0);
      data.bytes.fill(0xff, 0, 512);
      assert.equal(get(0x16).status, 0);
      assert.deepEqual([...data.bytes.subarray(0, 6)], [1, 0, 0, 0, 4, 0]);
      data.bytes[0] = 2;
      assert.equal(set(0x16).status, INVALID_FIELD);
      assert.equal(set(0x8000_0016 | 0).status, 0x410d); // Feature Identifier Not Saveable
    });
  });
});
