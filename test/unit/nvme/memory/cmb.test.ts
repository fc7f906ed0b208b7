import assert from "node:assert/strict";
import { decodeCmb, enableCmb, lackingFor, revealCmb } from "#lib/nvme/memory/cmb.js";
import { Capabilities } from "#lib/nvme/registers.js";
import { CMBS, DEVICE, FakeBar } from "../fake-bar.js";

const SINCE_1_4 = new Capabilities(0, CMBS);
const BEFORE_1_4 = new Capabilities(0, 0);
const NVME_1_3 = 0x0001_0300;

/** 64 KiB at the start of BAR 2. */
const CMB = decodeCmb(2, 0x1_0018)!;

function legacyBar(): FakeBar {
  const bar = new FakeBar();
  bar.values.set(0x08, NVME_1_3);
  return bar;
}

describe("CMBLOC and CMBSZ", () => {
  // NVMe 1.4 §3.1.11, §3.1.12, by hand: SZU 0 is 4 KiB, and each one more is 16 times as much.
  const KIB = 2 ** 10;
  const MIB = 2 ** 20;
  const GIB = 2 ** 30;
  const cases: [what: string, cmbloc: number, cmbsz: number, number, number, number][] = [
    ["4 KiB units", 0x0000_0000, 0x0001_0018, 0, 0, 64 * KIB],
    ["4 KiB units, offset", 0x0000_1004, 0x0000_1018, 4, 4 * KIB, 4 * KIB],
    ["4 KiB units, the most", 0xffff_f002, 0xffff_f01f, 2, 4 * GIB - 4 * KIB, 4 * GIB - 4 * KIB],
    ["64 KiB units", 0x0000_3002, 0x0000_4118, 2, 192 * KIB, 256 * KIB],
    ["1 MiB units", 0x0000_1002, 0x0004_0218, 2, MIB, 64 * MIB],
    ["16 MiB units", 0x0000_2003, 0x0000_3318, 3, 32 * MIB, 48 * MIB],
    ["256 MiB units", 0x0000_0004, 0x0000_8418, 4, 0, 2 * GIB],
    ["4 GiB units", 0x0000_1004, 0x0000_2518, 4, 4 * GIB, 8 * GIB],
    ["64 GiB units", 0x0000_1005, 0x0000_2618, 5, 64 * GIB, 128 * GIB],
    ["flags in between that are no part of either", 0x0000_21fa, 0x0000_121f, 2, 2 * MIB, MIB],
  ];
  for (const [what, cmbloc, cmbsz, bar, offset, size] of cases)
    it(`say where it is: ${what}`, () => {
      const cmb = decodeCmb(cmbloc, cmbsz)!;
      assert.deepEqual([cmb.bar, cmb.offset, cmb.size, cmb.claimed], [bar, offset, size, size]);
    });

  it("say that there is none by size 0, whatever else they say", () => {
    assert.equal(decodeCmb(0xffff_ffff, 0x0000_0fff), null);
  });

  it("say what it may hold, bit by bit", () => {
    for (const [bits, names] of [
      [0x00, []],
      [0x01, ["SQS"]],
      [0x02, ["CQS"]],
      [0x04, ["LISTS"]],
      [0x08, ["RDS"]],
      [0x10, ["WDS"]],
      [0x1d, ["SQS", "LISTS", "RDS", "WDS"]],
      [0xe0, []],
    ] as [number, string[]][])
      assert.deepEqual(decodeCmb(2, 0x1000 | bits)!.abilities, names);
  });

  it("say what need not lie together, bit by bit", () => {
    for (const [bits, names] of [
      [0x000, []],
      [0x007, []],
      [0x008, ["CQMMS"]],
      [0x010, ["CQPDS"]],
      [0x020, ["CDPMLS"]],
      [0x040, ["CDPCILS"]],
      [0x080, ["CDMMMS"]],
      [0x100, ["CQDA"]],
      [0xe00, []],
      [0x060, ["CDPMLS", "CDPCILS"]], // as QEMU's has it
    ] as [number, string[]][])
      assert.deepEqual(decodeCmb(bits, 0x1000)!.freedoms, names);
  });
});

describe("What of a queue pair may be in the CMB", () => {
  const lacking = (cmbloc: number, cmbsz: number, queue: boolean, lists: boolean): unknown =>
    lackingFor(decodeCmb(cmbloc, 0x1000 | cmbsz)!, { queue, lists });

  it("is its submission queue with SQS, its lists with LISTS, nothing always", () => {
    assert.equal(lacking(0x40, 0x1a, true, false), "SQS");
    assert.equal(lacking(0x40, 0x1b, true, false), null);
    assert.equal(lacking(0x40, 0x1b, false, true), "LISTS");
    assert.equal(lacking(0x40, 0x1f, false, true), null);
    assert.equal(lacking(0, 0, false, false), null);
  });

  it("is a list only beside its command, without CDPCILS", () => {
    assert.equal(lacking(0, 0x05, false, true), "CDPCILS");
    assert.equal(lacking(0, 0x05, true, true), null);
    assert.equal(lacking(0, 0x04, true, true), "SQS");
  });
});

describe("The controller memory buffer", () => {
  it("is asked to show itself before it is looked for, by CMBMSC.CRE and a read back", () => {
    const bar = new FakeBar();
    bar.onWrite = (offset, value) => {
      if (offset !== 0x50 || value !== 1) return;
      bar.values.set(0x38, 0x42);
      bar.values.set(0x3c, 0x0400_0018);
    };
    const cmb = revealCmb(bar.registers, SINCE_1_4, () => 64 << 20);
    assert.deepEqual(bar.log, ["write 54 0", "write 50 1", "read 50", "read 38", "read 3c"]);
    assert.deepEqual(cmb, {
      ...{ bar: 2, offset: 0, size: 64 << 20, claimed: 64 << 20 },
      ...{ abilities: ["RDS", "WDS"], freedoms: ["CDPCILS"] },
    });
  });

  it("before NVMe 1.4 is there without asking, at its bus address alone", () => {
    const bar = legacyBar();
    bar.values.set(0x3c, 0x1018);
    assert.equal(revealCmb(bar.registers, BEFORE_1_4, () => 8192)?.size, 4096);
    enableCmb(bar.registers, BEFORE_1_4, CMB, 0x38_0000_0000, 0x38_0000_0000);
    assert.ok(bar.log.every((line) => line.startsWith("read")));
    assert.throws(() => enableCmb(bar.registers, BEFORE_1_4, CMB, 0x1000, 0x38_0000_0000), {
      code: "CMB_REFUSED",
      message: /answers at its bus address 0x3800000000 alone/,
      hint: /where the IOMMU can map it.*or use another provider/,
    });
  });

  it("before NVMe 1.2 is not there, and its registers, which were reserved, are not read", () => {
    const bar = new FakeBar();
    bar.values.set(0x08, 0x0001_0100);
    bar.values.set(0x3c, 0x1018);
    assert.equal(
      revealCmb(bar.registers, BEFORE_1_4, () => 8192),
      null,
    );
    assert.deepEqual(bar.log, ["read 8"]);
    bar.values.set(0x08, 0x0001_0200);
    assert.ok(revealCmb(bar.registers, BEFORE_1_4, () => 8192));
  });

  it("is only as large as what its BAR has of it, and not there if that is nothing", () => {
    const bar = legacyBar();
    bar.values.set(0x38, 0x1002);
    bar.values.set(0x3c, 0x0001_0018);
    const sizeIn = (barSize: number): number | undefined =>
      revealCmb(bar.registers, BEFORE_1_4, () => barSize)?.size;
    assert.deepEqual([1 << 20, 0x5000, 0x1000].map(sizeIn), [0x10000, 0x4000, undefined]);
  });

  it("gets its address with the high half first, since the low half switches it on", () => {
    const bar = new FakeBar();
    enableCmb(bar.registers, SINCE_1_4, CMB, 0x38_1234_5000, 0);
    assert.deepEqual(bar.log.slice(0, 3), ["write 54 38", "write 50 12345003", "read 50"]);
  });

  it("that claims more than its BAR has is given no address: it would answer beyond it", () => {
    const bar = new FakeBar();
    const claim = { ...CMB, size: CMB.size - 4096 };
    assert.throws(() => enableCmb(bar.registers, SINCE_1_4, claim, 0x1000, 0), {
      code: "CMB_REFUSED",
      message: /claims 65536 bytes, of which its BAR has 61440/,
    });
    assert.deepEqual(bar.log, []);
  });

  it("may refuse the address: CMBSTS.CBAI", () => {
    const bar = new FakeBar();
    bar.values.set(0x58, 1);
    assert.throws(() => enableCmb(bar.registers, SINCE_1_4, CMB, 0x1000, 0), {
      code: "CMB_REFUSED",
      device: DEVICE,
    });
  });
});
