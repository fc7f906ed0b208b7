import assert from "node:assert/strict";
import type { NvmeConfiguration } from "#lib/platform/machine-schema.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import { Bench, blocks, machineWith, NVME0, READ, SGL, WRITE } from "../support/raw-nvme.js";

const COPY = 0x19;
const SET_FEATURES = 0x09;
const HOST_BEHAVIOR = 0x16;
const MIB = 1 << 20;

const INVALID_FIELD = 0x4002;
const INVALID_NAMESPACE = 0x400b;
const LBA_OUT_OF_RANGE = 0x4080;
const SIZE_LIMIT = 0x4183;
const INCOMPATIBLE = 0x4185;
const OVERLAP = 0x4187;

interface Range {
  slba: number;
  count: number;
  nsid?: number;
}

describe("the loopback Copy command", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;
  let list: HostMemory;

  const start = (copy?: Partial<NvmeConfiguration["copy"]>) => {
    const limits = { formats: [0, 1, 2, 3], maxRanges: 4, rangeBlocks: 300, blocks: 600 };
    const namespaces = [
      { size: MIB, block: 512 as const, file: null },
      { size: MIB, block: 512 as const, file: null },
      { size: MIB, block: 4096 as const, file: null },
    ];
    bench = new Bench(machineWith({ namespaces, copy: { ...limits, ...copy } }));
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(4096);
    list = bench.host(1 << 14);
  };
  const copy = (target: number, ranges: Range[], { format = 0, nsid = 1, sgl = false } = {}) => {
    const size = format % 2 === 0 ? 32 : 40;
    const view = new DataView(list.memory.buffer);
    list.bytes.fill(0);
    for (const [i, range] of ranges.entries()) {
      view.setUint32(i * size, range.nsid ?? 0, true);
      view.setBigUint64(i * size + 8, BigInt(range.slba), true);
      view.setUint16(i * size + 16, range.count - 1, true);
    }
    const dwords = [target, 0, (ranges.length - 1) | (format << 8)];
    if (!sgl) return queue.run({ opcode: COPY, nsid, prp1: list.iova, dwords });
    const block = new Uint8Array(16);
    new DataView(block.buffer).setBigUint64(0, BigInt(list.iova), true);
    new DataView(block.buffer).setUint32(8, ranges.length * size, true);
    return queue.run({ opcode: COPY | SGL, nsid, sgl: block, dwords });
  };
  /** Each block holds its own number and a mark, in its first bytes. */
  const mark = (slba: number, count: number, value: number, nsid = 1) => {
    for (let i = 0; i < count; i++) {
      data.bytes.fill(value);
      data.words[0] = slba + i;
      const command = { opcode: WRITE, nsid, prp1: data.iova, dwords: blocks(slba + i, 1) };
      assert.equal(queue.run(command).status, 0);
    }
  };
  const blockAt = (slba: number, nsid = 1): [number | undefined, number | undefined] => {
    data.bytes.fill(0xee);
    queue.run({ opcode: READ, nsid, prp1: data.iova, dwords: blocks(slba, 1) });
    return [data.words[0], data.bytes[511]];
  };
  const enableFormats = (formats: number) => {
    data.bytes.fill(0);
    new DataView(data.memory.buffer).setUint16(4, formats, true); // CDFE
    return nvme.admin.run({ opcode: SET_FEATURES, prp1: data.iova, dwords: [HOST_BEHAVIOR] })
      .status;
  };

  beforeEach(() => {
    start();
  });
  afterEach(() => {
    bench.close();
  });

  it("is in Identify with its formats and limits", () => {
    const controller = nvme.identify(1).data;
    assert.equal(controller.getUint16(520, true) & (1 << 8), 1 << 8);
    assert.equal(controller.getUint16(534, true), 0b1111); // OCFS
    const space = nvme.identify(0, 1).data;
    assert.equal(space.getUint16(74, true), 300); // MSSRL
    assert.equal(space.getUint32(76, true), 600); // MCL
    assert.equal(space.getUint8(80), 3); // MSRC
  });

  for (const format of [0, 1])
    for (const sgl of [false, true])
      it(`gathers ranges by format ${format}, ${sgl ? "SGL" : "PRP"}`, () => {
        mark(10, 3, 0x11);
        mark(50, 2, 0x22);
        const ranges = [
          { slba: 50, count: 2 },
          { slba: 10, count: 3 },
        ];
        const { status, result } = copy(1000, ranges, { format, sgl });
        assert.deepEqual([status, result], [0, 0]);
        assert.deepEqual(
          [1000, 1001, 1002, 1003, 1004, 1005].map((lba) => blockAt(lba)),
          [
            [50, 0x22],
            [51, 0x22],
            [10, 0x11],
            [11, 0x11],
            [12, 0x11],
            [0, 0],
          ],
        );
      });

  it("moves no byte outside of the controller but its ranges", () => {
    bench.native.resetTraffic();
    assert.equal(copy(1000, [{ slba: 0, count: 300 }]).status, 0);
    assert.equal(bench.native.traffic().hostMemoryBytes, 32);
  });

  it("copies across namespaces by formats 2 and 3, once the host has enabled them", () => {
    for (const format of [2, 3])
      assert.equal(copy(0, [{ slba: 1, count: 1, nsid: 2 }], { format }).status, INVALID_FIELD);
    assert.equal(enableFormats(0b1100), 0);
    mark(7, 2, 0x33, 2);
    mark(9, 1, 0x44, 1);
    const ranges = [
      { slba: 7, count: 2, nsid: 2 },
      { slba: 9, count: 1, nsid: 1 },
    ];
    for (const format of [2, 3]) {
      assert.equal(copy(format * 100, ranges, { format }).status, 0);
      assert.deepEqual(blockAt(format * 100 + 1), [8, 0x33]);
      assert.deepEqual(blockAt(format * 100 + 2), [9, 0x44]);
    }
    // The same LBA of another namespace is no overlap.
    assert.equal(copy(7, [{ slba: 7, count: 2, nsid: 2 }], { format: 2 }).status, 0);
    nvme.bar0.write32(0x14, 0);
    nvme.enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    const again = copy(0, [{ slba: 7, count: 1, nsid: 2 }], { format: 2 });
    assert.equal(again.status, INVALID_FIELD, "a reset takes it back");
  });

  it("refuses namespaces that are not there, or have other blocks", () => {
    enableFormats(0b1100);
    const from = (nsid: number) => copy(0, [{ slba: 0, count: 1, nsid }], { format: 2 }).status;
    assert.deepEqual([from(0), from(4)], [INVALID_NAMESPACE, INVALID_NAMESPACE]);
    assert.equal(from(3), INCOMPATIBLE);
    assert.equal(copy(0, [{ slba: 5, count: 1 }], { nsid: 4 }).status, INVALID_NAMESPACE);
  });

  it("refuses more than MSRC, MSSRL and MCL allow, before anything is copied", () => {
    const one = { slba: 1000, count: 1 };
    assert.equal(copy(0, [one, one, one, one]).status, 0);
    assert.equal(copy(0, [one, one, one, one, one]).status, SIZE_LIMIT);
    assert.equal(copy(0, [{ slba: 1000, count: 300 }]).status, 0);
    assert.equal(copy(0, [{ slba: 1000, count: 301 }]).status, SIZE_LIMIT);
    const large = { slba: 1000, count: 300 };
    assert.equal(copy(0, [large, large]).status, 0);
    mark(1000, 1, 0x55);
    assert.equal(copy(0, [large, large, one]).status, SIZE_LIMIT);
    assert.deepEqual(blockAt(0), [0, 0]);
  });

  it("refuses ranges that do not exist or overlap, and says which was the first", () => {
    mark(10, 1, 0x66);
    const good = { slba: 10, count: 1 };
    const run = (target: number, bad: Range) => {
      const { status, result } = copy(target, [good, bad]);
      return [status, result];
    };
    assert.deepEqual(run(500, { slba: 2047, count: 2 }), [LBA_OUT_OF_RANGE, 1]);
    assert.deepEqual(blockAt(500), [10, 0x66], "those before it were copied");
    assert.deepEqual(run(500, { slba: 499, count: 2 }), [OVERLAP, 1]);
    assert.deepEqual(run(500, { slba: 501, count: 1 }), [OVERLAP, 1]);
    assert.deepEqual(run(500, { slba: 502, count: 1 }), [0, 0]);
    assert.equal(copy(2047, [good, good]).status, LBA_OUT_OF_RANGE);
  });

  it("refuses formats that it does not have", () => {
    for (const format of [4, 15])
      assert.equal(copy(0, [{ slba: 5, count: 1 }], { format }).status, INVALID_FIELD);
    assert.equal(enableFormats(1 << 4), INVALID_FIELD);
  });

  it("has as few formats as the machine says, or is not there", () => {
    bench.close();
    start({ formats: [1] });
    assert.equal(copy(0, [{ slba: 5, count: 1 }], { format: 0 }).status, INVALID_FIELD);
    assert.equal(copy(0, [{ slba: 5, count: 1 }], { format: 1 }).status, 0);
    bench.close();
    start({ formats: [] });
    assert.equal(copy(0, [{ slba: 5, count: 1 }]).status, 0x4001);
    assert.equal(nvme.identify(1).data.getUint16(520, true) & (1 << 8), 0);
    assert.equal(nvme.identify(0, 1).data.getUint32(76, true), 0);
  });
});
