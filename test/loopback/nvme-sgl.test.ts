import assert from "node:assert/strict";
import fc from "fast-check";
import type { NvmeConfiguration } from "#lib/platform/machine-schema.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";
import {
  Bench,
  blocks,
  machineWith,
  NVME0,
  PAGE,
  READ,
  SGL,
  waitFor,
  WRITE,
} from "../support/raw-nvme.js";

// NVMe 1.4 §4.4: descriptor types.
const DATA = 0;
const BIT_BUCKET = 1;
const SEGMENT = 2;
const LAST_SEGMENT = 3;
const KEYED = 4;

const INVALID_FIELD = 0x4002;
const INVALID_SEGMENT = 0x400d;
const INVALID_COUNT = 0x400e;
const INVALID_LENGTH = 0x400f;
const INVALID_TYPE = 0x4011;
const INVALID_GRANULARITY = 0x401e;

function descriptor(type: number, address: number, length: number, subtype = 0): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(address), true);
  view.setUint32(8, length, true);
  view.setUint8(15, (type << 4) | subtype);
  return bytes;
}

describe("loopback NVMe SGLs", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;
  let lists: HostMemory;

  const start = (change: Partial<NvmeConfiguration> = {}) => {
    const namespaces = [{ size: 1 << 20, block: 512 as const, file: null }];
    bench = new Bench(machineWith({ namespaces, ...change }));
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(1 << 16);
    lists = bench.host(1 << 21);
  };
  const run = (opcode: number, sgl: Uint8Array, count = 8) =>
    queue.run({ opcode: opcode | SGL, nsid: 1, sgl, dwords: blocks(0, count) }).status;
  /** Writes a segment and describes it. */
  const segment = (type: number, at: number, descriptors: Uint8Array[]) => {
    for (const [i, each] of descriptors.entries()) lists.bytes.set(each, at + 16 * i);
    return descriptor(type, lists.iova + at, 16 * descriptors.length);
  };
  const fill = (length: number) => {
    for (let i = 0; i < length; i++) data.bytes[i] = (i * 7 + (i >> 8)) & 0xff;
    return data.bytes.slice(0, length);
  };
  const readBack = (count: number) => {
    data.bytes.fill(0);
    const prp = { prp1: data.iova, prp2: data.iova + PAGE };
    assert.equal(queue.run({ opcode: READ, nsid: 1, ...prp, dwords: blocks(0, count) }).status, 0);
    return data.bytes.slice(0, count * 512);
  };

  afterEach(() => {
    bench.close();
  });

  describe("that are right", () => {
    beforeEach(() => {
      start();
    });

    it("are in Identify: any alignment, bit buckets, nothing else", () => {
      assert.equal(nvme.identify(1).data.getUint32(536, true), 0x1_0001);
    });

    it("may be one data block in the command, at any byte", () => {
      const bytes = fill(PAGE + 3).slice(3);
      assert.equal(run(WRITE, descriptor(DATA, data.iova + 3, PAGE)), 0);
      assert.deepEqual(readBack(8), bytes);
      data.bytes.fill(0);
      assert.equal(run(READ, descriptor(DATA, data.iova + 5000, PAGE)), 0);
      assert.deepEqual(data.bytes.slice(5000, 5000 + PAGE), bytes);
      assert.deepEqual([data.bytes[4999], data.bytes[5000 + PAGE]], [0, 0]);
    });

    it("may be one segment of blocks of any length, empty ones among them, in any order", () => {
      const bytes = fill(PAGE);
      const parts = [
        descriptor(DATA, data.iova + 1000, 3096),
        descriptor(DATA, 0, 0),
        descriptor(DATA, data.iova + 1, 999),
        descriptor(DATA, data.iova, 1),
      ];
      assert.equal(run(WRITE, segment(LAST_SEGMENT, 0, parts)), 0);
      const written = [...bytes.slice(1000), ...bytes.slice(1, 1000), ...bytes.slice(0, 1)];
      assert.deepEqual([...readBack(8)], written);
    });

    it("may be a chain of segments, one of which crosses a page inside a descriptor", () => {
      const bytes = fill(PAGE);
      const part = (from: number, to: number) => descriptor(DATA, data.iova + from, to - from);
      const last = segment(LAST_SEGMENT, 3 * PAGE - 24, [part(3000, 4000), part(4000, 4096)]);
      const second = segment(SEGMENT, PAGE + 8, [part(1000, 3000), last]);
      const first = segment(SEGMENT, 0, [part(0, 512), part(512, 1000), second]);
      assert.equal(run(WRITE, first), 0);
      assert.deepEqual(readBack(8), bytes);
    });

    it("may have more descriptors than a page has room for", () => {
      const bytes = fill(PAGE);
      const parts = Array.from({ length: 512 }, (_, i) => descriptor(DATA, data.iova + 8 * i, 8));
      assert.equal(run(WRITE, segment(LAST_SEGMENT, 8, parts)), 0);
      assert.deepEqual(readBack(8), bytes);
    });

    it("may be cut into blocks, buckets and segments in any way", () => {
      const source = bench.host(2 * PAGE);
      for (let i = 0; i < source.bytes.length; i++) source.bytes[i] = (i * 13 + (i >> 7)) & 0xff;
      const whole = descriptor(DATA, source.iova, PAGE);
      assert.equal(run(WRITE, whole), 0);
      const cut = fc.record({
        length: fc.integer({ min: 0, max: 700 }),
        gap: fc.integer({ min: 0, max: 50 }),
        bucket: fc.boolean(),
        endsSegment: fc.boolean(),
      });
      fc.assert(
        fc.property(fc.array(cut, { maxLength: 40 }), (cuts) => {
          const expected = new Uint8Array(data.bytes.length).fill(0xaa);
          const segments: Uint8Array[][] = [[]];
          let [at, target] = [0, 0];
          const add = (length: number, bucket: boolean) => {
            segments
              .at(-1)
              ?.push(descriptor(bucket ? BIT_BUCKET : DATA, data.iova + target, length));
            if (!bucket) expected.set(source.bytes.subarray(at, at + length), target);
            at += length;
            if (!bucket) target += length;
          };
          for (const { length, gap, bucket, endsSegment } of cuts) {
            add(Math.min(length, PAGE - at), bucket);
            target += gap;
            if (endsSegment) segments.push([]);
          }
          add(PAGE - at, false);
          // From the last to the first, each pointed to by the one before it.
          let pointer: Uint8Array | null = null;
          for (const [index, descriptors] of [...segments.entries()].reverse()) {
            const all = pointer ? [...descriptors, pointer] : descriptors;
            pointer = segment(pointer ? SEGMENT : LAST_SEGMENT, index * 1024 + 8, all);
          }
          data.bytes.fill(0xaa);
          assert.equal(run(READ, pointer ?? assert.fail()), 0);
          assert.deepEqual(data.bytes, expected);
        }),
        { numRuns: 50 },
      );
    });

    it("throw away what a bit bucket takes of a read", () => {
      const bytes = fill(PAGE);
      assert.equal(run(WRITE, descriptor(DATA, data.iova, PAGE)), 0);
      data.bytes.fill(0x99);
      const parts = [
        descriptor(BIT_BUCKET, 0, 1024),
        descriptor(DATA, data.iova, 1024),
        descriptor(BIT_BUCKET, 0, 2048),
      ];
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, parts)), 0);
      assert.deepEqual(data.bytes.slice(0, 1024), bytes.slice(1024, 2048));
      assert.equal(data.bytes[1024], 0x99);
      assert.equal(run(READ, descriptor(BIT_BUCKET, 0, PAGE)), 0, "even all of it");
    });

    it("do not count a bit bucket in a write", () => {
      const bytes = fill(PAGE);
      const parts = [descriptor(BIT_BUCKET, 0, 512), descriptor(DATA, data.iova, PAGE)];
      assert.equal(run(WRITE, segment(LAST_SEGMENT, 0, parts)), 0);
      assert.deepEqual(readBack(8), bytes);
      const short = [descriptor(BIT_BUCKET, 0, 512), descriptor(DATA, data.iova, PAGE - 512)];
      assert.equal(run(WRITE, segment(LAST_SEGMENT, 0, short)), INVALID_LENGTH);
    });

    it("drop what goes to addresses that are not mapped, and say nothing", () => {
      fill(PAGE);
      run(WRITE, descriptor(DATA, data.iova, PAGE));
      bench.space.takeFaults();
      assert.equal(run(READ, descriptor(DATA, 0x7000_0000, PAGE)), 0);
      assert.equal(bench.space.takeFaults()?.[0]?.iova, 0x7000_0000n);
    });
  });

  describe("that are wrong", () => {
    beforeEach(() => {
      start();
    });
    const block = () => descriptor(DATA, data.iova, PAGE);

    it("are too short or too long", () => {
      for (const length of [0, PAGE - 1, PAGE + 1, PAGE + 512])
        assert.equal(run(READ, descriptor(DATA, data.iova, length)), INVALID_LENGTH);
      assert.equal(run(READ, descriptor(BIT_BUCKET, 0, PAGE + 1)), INVALID_LENGTH);
      const half = descriptor(DATA, data.iova, PAGE / 2);
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, [half])), INVALID_LENGTH);
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, [half, half, half])), INVALID_LENGTH);
    });

    it("have descriptors of a type or subtype that this controller does not know", () => {
      assert.equal(run(READ, descriptor(KEYED, data.iova, PAGE)), INVALID_TYPE);
      assert.equal(run(READ, descriptor(0xf, data.iova, PAGE)), INVALID_TYPE);
      assert.equal(run(READ, descriptor(DATA, 0, PAGE, 1)), INVALID_TYPE); // an offset
      assert.equal(run(READ, descriptor(LAST_SEGMENT, 0, 16, 1)), INVALID_TYPE);
      const keyed = descriptor(KEYED, data.iova, PAGE);
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, [keyed])), INVALID_TYPE);
    });

    it("have segments of an impossible length or address", () => {
      segment(LAST_SEGMENT, 0, [block()]);
      for (const [address, length] of [
        [lists.iova, 0],
        [lists.iova, 8],
        [lists.iova, 17],
        [lists.iova + 4, 16],
      ] as const)
        assert.equal(run(READ, descriptor(LAST_SEGMENT, address, length)), INVALID_SEGMENT);
    });

    it("lead on from the last segment, or do not lead on from another", () => {
      const last = segment(LAST_SEGMENT, PAGE, [block()]);
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, [last])), INVALID_SEGMENT);
      assert.equal(run(READ, segment(SEGMENT, 0, [block()])), INVALID_SEGMENT);
    });

    it("have a segment descriptor that is not the last of its segment", () => {
      const last = segment(LAST_SEGMENT, PAGE, [block()]);
      assert.equal(run(READ, segment(SEGMENT, 0, [last, last])), INVALID_COUNT);
      assert.equal(run(READ, segment(LAST_SEGMENT, 0, [last, block()])), INVALID_COUNT);
    });

    it("go round in circles", () => {
      const itself = descriptor(SEGMENT, lists.iova, 16);
      lists.bytes.set(itself, 0);
      assert.equal(run(READ, itself), INVALID_COUNT);
      assert.equal(queue.run({ opcode: 0, nsid: 1 }).status, 0);
    });

    it("lie where the controller cannot read them", () => {
      const status = run(READ, descriptor(LAST_SEGMENT, 0x7000_0000, 16));
      assert.equal(status, 0x4004); // Data Transfer Error
      assert.equal(run(READ, descriptor(DATA, 2 ** 64 - 2048, PAGE)), 0x4004);
    });

    it("are not for the admin queue, nor for MPTR", () => {
      const identify = { opcode: 0x06 | SGL, sgl: descriptor(DATA, data.iova, PAGE), dwords: [1] };
      assert.equal(nvme.admin.run(identify).status, INVALID_FIELD);
      const command = { nsid: 1, sgl: block(), dwords: blocks(0, 8) };
      for (const psdt of [2, 3])
        assert.equal(queue.run({ ...command, opcode: READ | (psdt << 14) }).status, INVALID_FIELD);
    });
  });

  it("may have to be dword aligned, which Identify says then", () => {
    start({ sgl: "dword" });
    assert.equal(nvme.identify(1).data.getUint32(536, true), 0x1_0002);
    assert.equal(run(READ, descriptor(DATA, data.iova + 4, PAGE)), 0);
    assert.equal(run(READ, descriptor(DATA, data.iova + 2, PAGE)), INVALID_GRANULARITY);
    const parts = [descriptor(DATA, data.iova, 510), descriptor(DATA, data.iova + 512, 3586)];
    assert.equal(run(READ, segment(LAST_SEGMENT, 0, parts)), INVALID_GRANULARITY);
  });

  it("may not be there at all", () => {
    start({ sgl: "none" });
    assert.equal(nvme.identify(1).data.getUint32(536, true), 0);
    assert.equal(run(READ, descriptor(DATA, data.iova, PAGE)), INVALID_FIELD);
  });

  it("lead to peer memory as PRP entries do", () => {
    start();
    const cmb = bench.peer(NVME0);
    nvme.bar0.write64(0x50, BigInt(cmb.iova) | 3n);
    fill(PAGE);
    const bytes = fill(PAGE);
    run(WRITE, descriptor(DATA, data.iova, PAGE));
    cmb.bytes.set(descriptor(DATA, cmb.iova + PAGE + 1, PAGE), 0);
    bench.native.resetTraffic();
    assert.equal(run(READ, descriptor(LAST_SEGMENT, cmb.iova, 16)), 0);
    waitFor("the data", () => cmb.bytes[PAGE + 1] === bytes[0]);
    assert.deepEqual(cmb.bytes.slice(PAGE + 1, 2 * PAGE + 1), bytes);
    assert.equal(bench.native.traffic().hostMemoryBytes, 0);
  });
});
