import assert from "node:assert/strict";
import {
  chooseCopyFormat,
  commandLimits,
  copyDword12,
  decodeCopyLimits,
  decodeCopySupport,
  splitCopy,
  writeRanges,
  type CopyFormat,
} from "#lib/nvme/commands/copy.js";
import { parseBdf } from "#lib/pci/bdf.js";

const device = parseBdf("0000:03:00.0");

function hex(view: DataView, from: number, length: number): string {
  return Buffer.from(view.buffer, from, length).toString("hex");
}

describe("Copy commands", () => {
  it("are told by ONCS bit 8 and OCFS, their limits by MSSRL, MCL and MSRC", () => {
    const controller = new DataView(new ArrayBuffer(4096));
    controller.setUint16(534, 0x000f, true);
    assert.deepEqual(decodeCopySupport(controller), { hasCopy: false, formats: 0 });
    controller.setUint16(520, 0x0100, true);
    assert.deepEqual(decodeCopySupport(controller), { hasCopy: true, formats: 15 });
    const namespace = new DataView(new ArrayBuffer(4096));
    namespace.setUint16(74, 128, true);
    namespace.setUint32(76, 70_000, true);
    namespace.setUint8(80, 127);
    assert.deepEqual(decodeCopyLimits(namespace), {
      ...{ rangeBlocks: 128, commandBlocks: 70_000, ranges: 128 },
    });
  });

  it("take the shortest format that does, or the one that is wanted, or none", () => {
    const choose = (formats: number, isAcross: boolean, wanted?: CopyFormat): number | string => {
      try {
        return chooseCopyFormat(device, { hasCopy: formats !== 0, formats }, isAcross, wanted);
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    assert.deepEqual(
      [choose(0b1111, false), choose(0b1110, false), choose(0b1100, false), choose(0b1000, false)],
      [0, 1, 2, 3],
    );
    assert.deepEqual([choose(0b1111, true), choose(0b1000, true)], [2, 3]);
    assert.deepEqual([choose(0b0011, true), choose(0, false)], ["UNSUPPORTED", "UNSUPPORTED"]);
    assert.deepEqual(
      [choose(0b1111, false, 3), choose(0b1111, true, 3), choose(0b1111, true, 1)],
      [3, 3, "UNSUPPORTED"],
    );
    assert.equal(choose(0b1111, false, 4 as CopyFormat), "BAD_ARGUMENT");
  });

  it("hold no more than the limits, and a list of one page", () => {
    const limits = { rangeBlocks: 128, commandBlocks: 1 << 20, ranges: 256 };
    const most = (format: CopyFormat): number =>
      commandLimits(device, 1, limits, format).commandBlocks;
    assert.deepEqual([most(0), most(1)], [128 * 128, 102 * 128]);
    const none = { rangeBlocks: 0, commandBlocks: 0, ranges: 1 };
    assert.throws(() => commandLimits(device, 1, none, 0), { code: "UNSUPPORTED" });
  });

  it("are split at ranges, blocks of a range and blocks of a command", () => {
    const limits = { rangeBlocks: 10, commandBlocks: 25, ranges: 3 };
    const commands = splitCopy(
      [
        { nsid: 1, lba: 100, blocks: 12 },
        { nsid: 2, lba: 500, blocks: 1 },
        { nsid: 1, lba: 0, blocks: 30 },
      ],
      1000,
      limits,
    );
    assert.deepEqual(
      commands.map(({ lba, blocks, ranges }) => [
        lba,
        blocks,
        ranges.map((range) => [range.nsid, range.lba, range.blocks].join()),
      ]),
      [
        [1000, 13, ["1,100,10", "1,110,2", "2,500,1"]],
        [1013, 25, ["1,0,10", "1,10,10", "1,20,5"]],
        [1038, 5, ["1,25,5"]],
      ],
    );
  });

  it("have descriptors of 32 or 40 bytes, with a namespace in formats 2 and 3", () => {
    const ranges = [
      { nsid: 7, lba: 0x1_2345_6789, blocks: 8 },
      { nsid: 9, lba: 3, blocks: 65535 },
    ];
    for (const [format, size, first, second] of [
      [0, 32, "00000000", "00000000"],
      [1, 40, "00000000", "00000000"],
      [2, 32, "07000000", "09000000"],
      [3, 40, "07000000", "09000000"],
    ] as const) {
      const view = new DataView(new ArrayBuffer(128));
      writeRanges(view, ranges, format);
      assert.equal(hex(view, 0, 24), `${first}0000000089674523010000000700000000000000`);
      assert.equal(hex(view, size, 24), `${second}000000000300000000000000feff000000000000`);
    }
    assert.deepEqual([copyDword12(1, 0), copyDword12(128, 3)], [0, 0x37f]);
  });
});
