import assert from "node:assert/strict";
import type { NativeRegion } from "#lib/addon.js";
import { decodeCmb, enableCmb, revealCmb } from "#lib/nvme/memory/cmb.js";
import { decodePmrcap, enablePmr, revealPmr } from "#lib/nvme/memory/pmr.js";
import { Capabilities, Registers } from "#lib/nvme/registers.js";
import { parseBdf } from "#lib/pci/bdf.js";

const DEVICE = parseBdf("0000:03:00.0");
const CMBS = 1 << 25; // in the high half of CAP

/** BAR 0 as plain memory that notes what is written, and may react. */
class FakeBar {
  readonly values = new Map<number, number>();
  readonly log: string[] = [];
  onWrite: (offset: number, value: number) => void = () => undefined;
  onRead: (offset: number) => void = () => undefined;

  readonly registers = new Registers(this as unknown as NativeRegion, DEVICE);

  read32(offset: number): number {
    this.log.push(`read ${offset.toString(16)}`);
    this.onRead(offset);
    return this.values.get(offset) ?? 0;
  }

  write32(offset: number, value: number): void {
    assert.ok(value >= 0 && value <= 0xffff_ffff && Number.isInteger(value));
    this.log.push(`write ${offset.toString(16)} ${value.toString(16)}`);
    this.values.set(offset, value);
    this.onWrite(offset, value);
  }
}

/** 64 KiB at the start of BAR 2. */
const CMB = decodeCmb(2, 0x1_0018)!;

describe("Controller registers", () => {
  it("decode CAP", () => {
    const cap = new Capabilities(0x0f01_07ff, (1 << 5) | 2 | (1 << 16) | CMBS);
    assert.equal(cap.maxQueueEntries, 2048);
    assert.equal(cap.readyTimeout, 8000);
    assert.equal(cap.doorbellStride, 16);
    assert.equal(cap.hasNvmCommandSet, true);
    assert.equal(cap.minPageSize, 8192);
    assert.equal(cap.hasCmbControl, true);
    assert.equal(cap.hasPmr, false);
    assert.deepEqual([cap.sqDoorbell(0), cap.cqDoorbell(0)], [0, 16]);
    assert.deepEqual([cap.sqDoorbell(3), cap.cqDoorbell(3)], [96, 112]);
  });

  it("decode CAP of the deepest queues and the closest doorbells", () => {
    const cap = new Capabilities(0xffff, 1 << 24);
    assert.equal(cap.maxQueueEntries, 65536);
    assert.equal(cap.doorbellStride, 4);
    assert.equal(cap.hasNvmCommandSet, false);
    assert.equal(cap.hasPmr, true);
    assert.equal(cap.hasCmbControl, false);
  });

  it("that read all ones are those of a device that is gone", () => {
    const bar = new FakeBar();
    bar.values.set(0x1c, 0xffff_ffff);
    assert.throws(() => bar.registers.read(0x1c), { code: "DEVICE_GONE", device: DEVICE });
  });

  it("of 64 bits are written high half first", () => {
    const bar = new FakeBar();
    bar.registers.writeAddress(0x28, 0x12_8000_1000, 3);
    assert.deepEqual(bar.log, ["write 2c 12", "write 28 80001003"]);
  });
});

describe("The controller memory buffer", () => {
  it("has offset and size in units of CMBSZ.SZU, not in bytes", () => {
    const size = (sz: number, szu: number, flags = 0x1f): number => sz * 4096 + (szu << 8) + flags;
    const cases: [number, number, { bar: number; offset: number; size: number }][] = [
      [0x0000_0002, size(16384, 0), { bar: 2, offset: 0, size: 64 << 20 }],
      [0x0000_1004, size(1, 0), { bar: 4, offset: 4096, size: 4096 }],
      [0x0000_3002, size(4, 1), { bar: 2, offset: 3 << 16, size: 4 << 16 }],
      [0x0000_1002, size(64, 2), { bar: 2, offset: 1 << 20, size: 64 << 20 }],
      [0x0000_1005, size(2, 6), { bar: 5, offset: 2 ** 36, size: 2 ** 37 }],
      [0xffff_f002, size(0xfffff, 0), { bar: 2, offset: 0xffff_f000, size: 0xffff_f000 }],
    ];
    for (const [cmbloc, cmbsz, expected] of cases) {
      const { bar, offset, size } = decodeCmb(cmbloc, cmbsz)!;
      assert.deepEqual({ bar, offset, size }, expected);
    }
    assert.equal(decodeCmb(2, 0x1f), null);
  });

  it("says what it may hold and do, bit by bit", () => {
    const names = [
      "holdsSubmissionQueues",
      "holdsCompletionQueues",
      "holdsLists",
      "takesReadData",
      "givesWriteData",
    ] as const;
    for (const [bit, name] of names.entries()) {
      const cmb = decodeCmb(2, 0x1000 | (1 << bit))!;
      for (const other of names) assert.equal(cmb[other], other === name, other);
    }
  });

  it("is asked to show itself before it is looked for, by CMBMSC.CRE and a read back", () => {
    const bar = new FakeBar();
    bar.onWrite = (offset, value) => {
      if (offset !== 0x50 || value !== 1) return;
      bar.values.set(0x38, 2);
      bar.values.set(0x3c, 0x0400_0018);
    };
    const cmb = revealCmb(bar.registers, new Capabilities(0, CMBS), () => 64 << 20);
    assert.deepEqual(bar.log, ["write 54 0", "write 50 1", "read 50", "read 38", "read 3c"]);
    assert.deepEqual(cmb, {
      bar: 2,
      offset: 0,
      size: 64 << 20,
      holdsSubmissionQueues: false,
      holdsCompletionQueues: false,
      holdsLists: false,
      claimed: 64 << 20,
      takesReadData: true,
      givesWriteData: true,
    });
  });

  it("before NVMe 1.4 is there without asking, at its bus address alone", () => {
    const bar = new FakeBar();
    const capabilities = new Capabilities(0, 0);
    bar.values.set(0x3c, 0x1018);
    assert.equal(revealCmb(bar.registers, capabilities, () => 8192)?.size, 4096);
    enableCmb(bar.registers, capabilities, CMB, 0x38_0000_0000, 0x38_0000_0000);
    assert.ok(bar.log.every((line) => line.startsWith("read")));
    assert.throws(() => enableCmb(bar.registers, capabilities, CMB, 0x1000, 0x38_0000_0000), {
      code: "CMB_REFUSED",
    });
  });

  it("is only as large as what its BAR has of it, and not there if that is nothing", () => {
    const bar = new FakeBar();
    bar.values.set(0x38, 0x1002);
    bar.values.set(0x3c, 0x0001_0018);
    const sizeIn = (barSize: number): number | undefined =>
      revealCmb(bar.registers, new Capabilities(0, 0), () => barSize)?.size;
    assert.deepEqual([1 << 20, 0x5000, 0x1000].map(sizeIn), [0x10000, 0x4000, undefined]);
  });

  it("gets its address with the high half first, since the low half switches it on", () => {
    const bar = new FakeBar();
    enableCmb(bar.registers, new Capabilities(0, CMBS), CMB, 0x38_1234_5000, 0);
    assert.deepEqual(bar.log.slice(0, 3), ["write 54 38", "write 50 12345003", "read 50"]);
  });

  it("that claims more than its BAR has is given no address: it would answer beyond it", () => {
    const bar = new FakeBar();
    const claim = { ...CMB, size: CMB.size - 4096 };
    assert.throws(() => enableCmb(bar.registers, new Capabilities(0, CMBS), claim, 0x1000, 0), {
      code: "CMB_REFUSED",
      message: /claims 65536 bytes, of which its BAR has 61440/,
    });
    assert.deepEqual(bar.log, []);
  });

  it("may refuse the address: CMBSTS.CBAI", () => {
    const bar = new FakeBar();
    bar.values.set(0x58, 1);
    assert.throws(() => enableCmb(bar.registers, new Capabilities(0, CMBS), CMB, 0x1000, 0), {
      code: "CMB_REFUSED",
      device: DEVICE,
    });
  });
});

describe("The persistent memory region", () => {
  it("decodes PMRCAP", () => {
    assert.deepEqual(decodePmrcap(0x0103_0098), {
      bar: 4,
      takesReadData: true,
      givesWriteData: true,
      hasMemorySpace: true,
      readyTimeout: 2000,
    });
    assert.equal(decodePmrcap(0x0001_0100).readyTimeout, 120_000);
  });

  it("is switched on, waited for, and is its whole BAR", async () => {
    const bar = new FakeBar();
    bar.values.set(0xe00, 0x0103_0098);
    bar.values.set(0xe08, 1 << 8);
    let polls = 0;
    bar.onRead = (offset) => {
      if (offset === 0xe08 && ++polls === 3) bar.values.set(0xe08, 0);
    };
    const pmr = await revealPmr(bar.registers, (index) => index * 1024);
    assert.deepEqual(pmr, {
      bar: 4,
      offset: 0,
      size: 4096,
      takesReadData: true,
      givesWriteData: true,
    });
    assert.ok(bar.log.includes("write e04 1"));
    assert.equal(polls, 3);
  });

  it("that reports an error is not used", async () => {
    const bar = new FakeBar();
    bar.values.set(0xe08, 0x80);
    await assert.rejects(
      revealPmr(bar.registers, () => 0),
      { code: "PMR_NOT_READY" },
    );
  });

  it("gets its address only where it has a register for it", () => {
    const bar = new FakeBar();
    enablePmr(bar.registers, 0x38_0000_1000);
    assert.ok(bar.log.every((line) => line.startsWith("read")));
    bar.values.set(0xe00, 1 << 24);
    enablePmr(bar.registers, 0x38_0000_1000);
    assert.ok(bar.log.join().includes("write e18 38,write e14 1002"));
    bar.values.set(0xe08, 1 << 12);
    assert.throws(() => enablePmr(bar.registers, 0x1000), { code: "PMR_REFUSED" });
  });
});
