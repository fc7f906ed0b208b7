import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { MachineConfiguration, NvmeConfiguration } from "#lib/platform/machine-schema.js";
import { Bench, blocks, machineWith, NVME0, PAGE, READ, WRITE } from "../support/raw-nvme.js";
import type { HostMemory, RawNvme, RawQueue } from "../support/raw-nvme.js";

const COMPARE = 0x05;
const WRITE_ZEROES = 0x08;
const LBAS = (128 << 20) / 512;

const withNamespaces = (namespaces: NvmeConfiguration["namespaces"]) => machineWith({ namespaces });

describe("loopback NVMe commands", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;
  let data: HostMemory;

  const start = (machine?: MachineConfiguration) => {
    bench = new Bench(machine);
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
    data = bench.host(1 << 20);
  };
  const io = (opcode: number, dwords: number[], prp1 = data.iova, prp2 = 0, nsid = 1) =>
    queue.run({ opcode, nsid, prp1, prp2, dwords }).status;

  afterEach(() => {
    bench.close();
  });

  describe("admin", () => {
    beforeEach(() => {
      start();
    });

    it("identifies the controller", () => {
      const { status, data: page } = nvme.identify(1);
      assert.equal(status, 0);
      const text = (at: number, length: number) =>
        Buffer.from(page.buffer, page.byteOffset + at, length).toString("latin1");
      assert.equal(text(24, 40), "p2pmem loopback NVMe".padEnd(40));
      assert.equal(text(4, 20), "P2PMEM0000".padEnd(20));
      assert.match(text(768, 256), /^nqn\.2014-08\.org\.nvmexpress:uuid:[0-9a-f-]{36}\0+$/);
      assert.equal(page.getUint8(77), 7); // MDTS: 512 KiB
      assert.equal(page.getUint32(80, true), 0x10400);
      assert.deepEqual([page.getUint8(512), page.getUint8(513)], [0x66, 0x44]);
      assert.equal(page.getUint32(516, true), 1); // NN
      assert.equal(page.getUint16(520, true), 0b1_0101_1101); // ONCS: all but Verify and others
    });

    it("identifies namespaces, lists and describes them, and refuses what is not there", () => {
      const space = nvme.identify(0, 1).data;
      assert.equal(space.getBigUint64(0, true), BigInt(LBAS));
      assert.equal(space.getUint8(26), 0);
      assert.equal(space.getUint8(130), 9); // LBAF0.LBADS
      assert.equal(space.getUint8(134), 12);
      const list = nvme.identify(2).data;
      assert.deepEqual([list.getUint32(0, true), list.getUint32(4, true)], [1, 0]);
      assert.equal(nvme.identify(2, 1).data.getUint32(0, true), 0);
      const descriptors = nvme.identify(3, 1).data;
      assert.deepEqual([descriptors.getUint8(0), descriptors.getUint8(1)], [1, 8]);
      assert.equal(nvme.identify(0, 2).status, 0x400b); // Invalid Namespace or Format
      assert.equal(nvme.identify(0, 0).status, 0x400b);
      assert.equal(nvme.identify(0x55).status, 0x4002); // Invalid Field
    });

    it("sets and gets features", () => {
      const set = (id: number, value: number) =>
        nvme.admin.run({ opcode: 0x09, dwords: [id, value] });
      const get = (id: number, value = 0) => nvme.admin.run({ opcode: 0x0a, dwords: [id, value] });
      assert.equal(set(7, 0x00010001).status, 0x400c); // queues exist: Command Sequence Error
      nvme.admin.run({ opcode: 0x00, dwords: [1] });
      nvme.admin.run({ opcode: 0x04, dwords: [1] });
      assert.deepEqual(set(7, 0x00020005).result, 0x00020005);
      assert.equal(get(7).result, 0x00020005);
      assert.equal(set(7, 0x00ff00ff).result, 0x003f003f);
      assert.equal(set(7, 0x0001ffff).status, 0x4002);
      assert.equal(get(6).result, 1); // volatile write cache
      assert.equal(set(1, 0x07).status, 0);
      assert.equal(get(1).result, 0x07);
      assert.equal(get(9, 12).result, 12);
      assert.equal(set(0x70, 0).status, 0x4002);
      assert.equal(set(0x8000_0001 | 0, 0).status, 0x410d); // Feature Identifier Not Saveable
    });

    it("has the three log pages that every controller must have", () => {
      const log = (id: number, offset = 0) => {
        const dwords = [id | (127 << 16), 0, offset, 0];
        nvme.scratch.bytes.fill(0xff, 0, 512);
        const { status } = nvme.admin.run({ opcode: 0x02, prp1: nvme.scratch.iova, dwords });
        return { status, page: new DataView(nvme.scratch.memory.buffer, 0, 512) };
      };
      io(READ, blocks(LBAS, 1));
      const errors = log(1).page;
      assert.deepEqual([errors.getUint16(8, true), errors.getUint16(12, true) >> 1], [1, 0x4080]);
      assert.equal(errors.getBigUint64(16, true), BigInt(LBAS));
      io(READ, blocks(0, 1));
      const health = log(2).page;
      assert.equal(health.getUint16(1, true), 300); // kelvins
      assert.equal(health.getBigUint64(64, true), 1n); // read commands
      assert.equal(log(3).page.getUint8(0), 1);
      assert.equal(log(0x77).status, 0x4109); // Invalid Log Page
      assert.equal(log(2, 1024).status, 0x4002);
    });

    it("refuses unknown opcodes", () => {
      assert.equal(nvme.admin.run({ opcode: 0x7f }).status, 0x4001);
      assert.equal(io(0x7f, []), 0x4001);
    });
  });

  describe("I/O", () => {
    beforeEach(() => {
      start();
    });

    it("writes and reads through every shape of PRP", () => {
      const list = bench.host(4 * PAGE);
      const entries = new BigUint64Array(list.memory.buffer);
      // Backwards through memory, so that no two pages of a transfer are neighbours.
      const addressOf = (page: number) => data.iova + (255 - page) * PAGE;
      for (const [offset, count] of [
        [0, 1],
        [0, 8],
        [512, 8],
        [512, 7],
        [0, 16],
        [1024, 16],
        [0, 17],
        [2048, 1000],
        [0, 1024],
        [4, 1024],
      ] as const) {
        const bytes = count * 512;
        const needed = Math.ceil((offset + bytes) / PAGE);
        let prp2 = 0;
        if (needed === 2) prp2 = addressOf(1);
        else if (needed > 2) {
          // The list starts near the end of a page, so that long ones chain.
          const first = 512 - 20;
          prp2 = list.iova + first * 8;
          let at = first;
          for (let page = 1; page < needed; page++) {
            if (at % 512 === 511 && page < needed - 1) {
              entries[at] = BigInt(list.iova + ((at + 1) / 512) * PAGE);
              at++;
            }
            entries[at++] = BigInt(addressOf(page));
          }
        }
        const at = (index: number) =>
          (255 - Math.floor((offset + index) / PAGE)) * PAGE + ((offset + index) % PAGE);
        const pattern = (index: number) => index ^ (count << 20);
        for (let i = 0; i < bytes; i += 4) data.words[at(i) / 4] = pattern(i);
        const args = [blocks(1000, count), addressOf(0) + offset, prp2] as const;
        assert.equal(io(WRITE, ...args), 0);
        data.words.fill(-1);
        assert.equal(io(READ, ...args), 0);
        for (let i = 0; i < bytes; i += 4)
          if (data.words[at(i) / 4] !== pattern(i))
            assert.fail(`offset ${offset}, ${count} blocks: wrong at byte ${i}`);
        const written = data.words.reduce((sum, word) => sum + (word === -1 ? 0 : 4), 0);
        assert.equal(written, bytes, "nothing else was written");
      }
    });

    it("refuses PRP entries with offsets where there must be none", () => {
      assert.equal(io(READ, blocks(0, 1), data.iova + 2), 0x4013); // Invalid PRP Offset
      assert.equal(io(READ, blocks(0, 16), data.iova, data.iova + PAGE + 512), 0x4013);
      assert.equal(io(READ, blocks(0, 24), data.iova, data.iova + 4), 0x4013);
      new BigUint64Array(data.memory.buffer)[0] = BigInt(data.iova + 8);
      assert.equal(io(READ, blocks(0, 24), data.iova + PAGE, data.iova), 0x4013);
    });

    it("refuses LBAs past the end, transfers beyond MDTS, and unknown namespaces", () => {
      assert.equal(io(READ, blocks(LBAS - 1, 1)), 0);
      assert.equal(io(READ, blocks(LBAS, 1)), 0x4080); // LBA Out of Range
      assert.equal(io(READ, blocks(LBAS - 1, 2)), 0x4080);
      assert.equal(io(READ, [0xffffffff | 0, 0xffffffff | 0, 0]), 0x4080);
      assert.equal(io(READ, blocks(0, 1025)), 0x4002);
      assert.equal(io(READ, blocks(0, 1), data.iova, 0, 2), 0x400b);
      assert.equal(io(READ, blocks(0, 1), data.iova, 0, 0), 0x400b);
    });

    it("compares", () => {
      data.bytes.fill(0x21, 0, PAGE);
      io(WRITE, blocks(0, 8));
      assert.equal(io(COMPARE, blocks(0, 8)), 0);
      data.bytes[PAGE - 1] = 0;
      assert.equal(io(COMPARE, blocks(0, 8)), 0x4285); // Compare Failure
    });

    it("writes zeroes, more than MDTS at once", () => {
      data.bytes.fill(0x21, 0, PAGE);
      io(WRITE, blocks(3000, 8));
      assert.equal(io(WRITE_ZEROES, blocks(0, 65536)), 0);
      assert.equal(io(READ, blocks(3000, 8)), 0);
      assert.equal(data.bytes[17], 0);
      assert.equal(io(WRITE_ZEROES, blocks(LBAS - 8, 9)), 0x4080);
    });

    it("flushes one namespace or all", () => {
      assert.equal(queue.run({ opcode: 0, nsid: 1 }).status, 0);
      assert.equal(queue.run({ opcode: 0, nsid: 0xffffffff | 0 }).status, 0);
      assert.equal(queue.run({ opcode: 0, nsid: 3 }).status, 0x400b);
    });
  });

  describe("namespaces", () => {
    let directory: string;
    before(() => {
      directory = mkdtempSync(path.join(tmpdir(), "p2pmem-"));
    });
    after(() => {
      rmSync(directory, { recursive: true });
    });

    it("have blocks of 512 or 4096 bytes, several to a controller", () => {
      start(
        withNamespaces([
          { size: 1 << 20, block: 512, file: null },
          { size: 2 << 20, block: 4096, file: null },
        ]),
      );
      const second = nvme.identify(0, 2).data;
      assert.equal(second.getBigUint64(0, true), 512n);
      assert.equal(second.getUint8(26), 1);
      data.bytes.fill(0x44, 0, PAGE);
      assert.equal(io(WRITE, blocks(511, 1), data.iova, 0, 2), 0);
      assert.equal(io(WRITE, blocks(512, 1), data.iova, 0, 2), 0x4080);
      assert.equal(io(READ, blocks(0, 8)), 0);
      assert.equal(data.bytes[0], 0, "the namespaces are apart");
    });

    it("live in a file, as large as it is or as it is told to be", () => {
      const file = path.join(directory, "disk.img");
      writeFileSync(file, Buffer.alloc(8192, 0x66));
      start(
        withNamespaces([
          { size: 0, block: 512, file },
          { size: 1 << 20, block: 4096, file: path.join(directory, "new.img") },
        ]),
      );
      assert.equal(nvme.identify(0, 1).data.getBigUint64(0, true), 16n);
      assert.equal(nvme.identify(0, 2).data.getBigUint64(0, true), 256n);
      assert.equal(io(READ, blocks(1, 8)), 0);
      assert.ok(data.bytes.subarray(0, PAGE).every((byte) => byte === 0x66));
      data.bytes.fill(0x67, 0, PAGE);
      assert.equal(io(WRITE, blocks(8, 8)), 0);
      assert.equal(io(COMPARE, blocks(8, 8)), 0);
      assert.equal(io(COMPARE, blocks(0, 8)), 0x4285);
      assert.equal(io(WRITE_ZEROES, blocks(0, 1)), 0);
      assert.equal(queue.run({ opcode: 0, nsid: 1 }).status, 0);
      const content = readFileSync(file);
      assert.deepEqual([content[0], content[512], content[4096]], [0, 0x66, 0x67]);
    });

    it("answer with a media error where the file has been cut short", () => {
      const file = path.join(directory, "short.img");
      writeFileSync(file, Buffer.alloc(8192));
      start(withNamespaces([{ size: 0, block: 512, file }]));
      truncateSync(file, 4096);
      assert.equal(io(READ, blocks(0, 8)), 0);
      assert.equal(io(READ, blocks(8, 8)), 0x281); // Unrecovered Read Error
    });
  });
});
