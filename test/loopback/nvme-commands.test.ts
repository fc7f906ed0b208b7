import assert from "node:assert/strict";
import {
  Bench,
  blocks,
  NVME0,
  READ,
  WRITE,
  type RawNvme,
  type RawQueue,
} from "../support/raw-nvme.js";

describe("loopback NVMe commands", () => {
  let bench: Bench;
  let nvme: RawNvme;
  let queue: RawQueue;

  before(() => {
    bench = new Bench();
    nvme = bench.nvme(NVME0).enable();
    queue = nvme.createPair(nvme.queue(1, 16));
  });
  after(() => {
    bench.close();
  });

  it("identifies the controller", () => {
    const { status, data } = nvme.identify(1);
    assert.equal(status, 0);
    const text = (at: number, length: number) =>
      Buffer.from(data.buffer, data.byteOffset + at, length)
        .toString("latin1")
        .trimEnd();
    assert.equal(text(24, 40), "p2pmem loopback NVMe");
    assert.equal(text(4, 20), "P2PMEM0000");
    assert.equal(data.getUint8(77), 7); // MDTS: 512 KiB
  });

  it("reads back what was written", () => {
    const data = bench.host(8192);
    data.bytes.fill(0x5a, 0, 4096);
    assert.equal(
      queue.run({ opcode: WRITE, nsid: 1, prp1: data.iova, dwords: blocks(7, 8) }).status,
      0,
    );
    assert.equal(
      queue.run({ opcode: READ, nsid: 1, prp1: data.iova + 4096, dwords: blocks(7, 8) }).status,
      0,
    );
    assert.deepEqual(data.bytes.subarray(4096), data.bytes.subarray(0, 4096));
  });
});
