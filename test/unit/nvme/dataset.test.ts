import assert from "node:assert/strict";
import { nvmLimits } from "#lib/nvme/admin/nvm-limits.js";
import { batchRanges, writeRanges, type BlockRange } from "#lib/nvme/dataset.js";

const range = (lba: number, blocks: number): BlockRange => ({ lba, blocks });
const NO_LIMITS = nvmLimits(null, 4096);

describe("Limits of NVM commands", () => {
  it("are the command's own where the controller tells none, or zeros", () => {
    const none = { zeroedBytes: Infinity, ranges: 256, rangeBlocks: 2 ** 32 - 1 };
    assert.deepEqual(NO_LIMITS, { ...none, totalBlocks: Infinity });
    const zeros = { vsl: 0, wzsl: 0, wusl: 0, dmrl: 0, dmrsl: 0, dmsl: 0n };
    assert.deepEqual(nvmLimits(zeros, 4096), NO_LIMITS);
  });

  it("are the controller's: WZSL a power of two of its smallest pages", () => {
    const fields = { vsl: 1, wzsl: 5, wusl: 2, dmrl: 8, dmrsl: 1000, dmsl: 5000n };
    assert.deepEqual(nvmLimits(fields, 8192), {
      zeroedBytes: 32 * 8192,
      ranges: 8,
      rangeBlocks: 1000,
      totalBlocks: 5000,
    });
  });
});

describe("Ranges of Dataset Management", () => {
  it("are 256 for each command", () => {
    const ranges = Array.from({ length: 513 }, (_, i) => range(2 * i, 1));
    const batches = batchRanges(ranges, NO_LIMITS);
    assert.deepEqual(
      batches.map(({ length }) => length),
      [256, 256, 1],
    );
    assert.deepEqual(batches.flat(), ranges);
    assert.deepEqual(batchRanges([], NO_LIMITS), []);
  });

  it("are cut where one is too long, or all are", () => {
    const limits = { ...NO_LIMITS, ranges: 3, rangeBlocks: 10, totalBlocks: 25 };
    assert.deepEqual(batchRanges([range(0, 26), range(100, 9)], limits), [
      [range(0, 10), range(10, 10), range(20, 5)],
      [range(25, 1), range(100, 9)],
    ]);
    assert.deepEqual(batchRanges([range(5, 2 ** 32)], NO_LIMITS), [
      [range(5, 2 ** 32 - 1), range(5 + 2 ** 32 - 1, 1)],
    ]);
  });

  it("are 16 bytes each: attributes, length, first block", () => {
    const data = new DataView(new ArrayBuffer(48));
    data.setUint32(16, 0xdead);
    writeRanges(data, [range(0x1_2345_6789, 0xffff_ffff), range(7, 8)]);
    assert.equal(
      Buffer.from(data.buffer).toString("hex"),
      "00000000ffffffff8967452301000000" + "00000000080000000700000000000000" + "00".repeat(16),
    );
  });
});
