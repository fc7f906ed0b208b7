import assert from "node:assert/strict";
import type { NativeDevice } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import type { Cmb } from "#lib/nvme/memory/cmb.js";
import type { NvmeController } from "#lib/nvme/controller.js";
import { dataRefusal, wholeRange } from "#lib/p2pmem/provider-range.js";
import type { PciFunction } from "#lib/pci/function.js";
import { PciTree } from "#lib/pci/tree.js";
import { chooseRange, providerRanges, reservedRanges } from "#lib/providers.js";
import { fakeFunction, fakeTopology, NONE } from "../../support/fake-pci.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const PREFETCHABLE = 0x2200;
const IO_PORTS = 0x100;

/** An FPGA: registers in BAR 0, memory in BAR 1 (not marked as such), 2 and 4, ports in BAR 5. */
function fpga(configBytes = 4096): PciFunction {
  const raw = fakeFunction({
    address: "0000:05:00.0",
    classCode: 0x120000,
    configBytes,
    resources: [
      { start: 0x10000000, size: 64 * KIB },
      { start: 0x20000000, size: 4 * MIB },
      { start: 0x30000000, size: 4 * MIB, flags: PREFETCHABLE },
      NONE,
      { start: 0x40000000, size: 16 * MIB, flags: PREFETCHABLE },
      { start: 0x50000000, size: 256, flags: IO_PORTS },
    ],
  });
  const msix = new DataView(raw.config.buffer);
  msix.setUint16(0x40, 0x7010, true); // after the PCI Express capability
  msix.setUint16(0x70, 0x0011, true);
  msix.setUint16(0x72, 7, true);
  msix.setUint32(0x74, 0x8000 | 1, true);
  msix.setUint32(0x78, 0x200000 | 1, true);
  return new PciTree(fakeTopology([raw])).functions[0]!;
}

/** VFIO's view of the configuration space, which is whole. */
function deviceOf(fn: PciFunction, config: Uint8Array): NativeDevice {
  const view = new DataView(config.buffer, config.byteOffset);
  return {
    address: fn.address,
    region: (index: number) => {
      assert.equal(index, 7);
      return { read32: (offset: number) => view.getUint32(offset, true) };
    },
  } as unknown as NativeDevice;
}

const UNREAD = {
  region: () => assert.fail("what sysfs has shown is not read again"),
} as unknown as NativeDevice;

const MSIX = [
  { bar: 1, offset: 0x8000, size: 128, what: "the MSI-X table" },
  { bar: 1, offset: 0x200000, size: 8, what: "the MSI-X pending bits" },
];

describe("The memory of a device", () => {
  it("is every prefetchable BAR, largest first", async () => {
    const ranges = await providerRanges(fpga(), null);
    assert.deepEqual(
      ranges.map(({ label, bar, offset, size }) => [label, bar, offset, size]),
      [
        ["bar4", 4, 0, 16 * MIB],
        ["bar2", 2, 0, 4 * MIB],
      ],
    );
  });

  it("is no BAR smaller than a page, which cannot be mapped alone", async () => {
    const resources = [256, 4 * KIB].map((size, i) => ({
      start: 0x10000000 * (i + 1),
      size,
      flags: PREFETCHABLE,
    }));
    const raw = fakeFunction({ address: "0000:05:00.0", classCode: 0x120000, resources });
    const ranges = await providerRanges(new PciTree(fakeTopology([raw])).functions[0]!, null);
    assert.deepEqual(
      ranges.map(({ label }) => label),
      ["bar1"],
    );
  });

  it("is what its name says; of what is not known to be memory only a named part", async () => {
    const fn = fpga();
    const ranges = await providerRanges(fn, null);
    assert.equal(chooseRange(fn, ranges, null, null).label, "bar4");
    assert.equal(chooseRange(fn, ranges, "bar2", null).label, "bar2");
    const part = chooseRange(fn, ranges, "bar1", { offset: MIB, length: MIB });
    assert.deepEqual([part.label, part.bar, part.offset, part.size], ["bar1@1m+1m", 1, MIB, MIB]);
    assert.equal(chooseRange(fn, ranges, "bar1", { offset: 0 }).label, "bar1");
    for (const [kind, range, hint] of [
      [
        "bar1",
        null,
        "it has bar4, bar2 for certain; if this is memory, say where: bar1@OFFSET+LENGTH",
      ],
      ["bar3", { offset: 0 }, "it has bar4, bar2"],
      ["bar5", { offset: 0 }, "it has bar4, bar2"],
      ["cmb", null, "it has bar4, bar2"],
    ] as const)
      assert.throws(() => chooseRange(fn, ranges, kind, range), { code: "NO_PROVIDER", hint });
  });
});

describe("A PMR, which keeps what it holds", () => {
  const pmr = wholeRange("pmr", { bar: 4, offset: 0, size: MIB });
  const bar2 = wholeRange("bar2", { bar: 2, offset: 0, size: MIB });

  it("is what its name says, and never what just the device's name says", () => {
    const fn = fpga();
    assert.equal(chooseRange(fn, [pmr, bar2], "pmr", null), pmr);
    assert.equal(chooseRange(fn, [pmr, bar2], null, null), bar2);
    assert.throws(() => chooseRange(fn, [pmr], null, null), {
      ...{ code: "NO_PROVIDER", hint: new RegExp(`^it has a PMR, .* name it, ${fn.address}/pmr,`) },
    });
  });
});

describe("A CMB that is not for all", () => {
  const bar2 = wholeRange("bar2", { bar: 2, offset: 0, size: MIB });
  const cmbWith = (...abilities: string[]) =>
    wholeRange("cmb", { bar: 2, offset: 0, size: MIB }, abilities);

  it("is for data only with RDS and WDS; other memory always is", () => {
    assert.equal(dataRefusal(bar2), null);
    assert.equal(dataRefusal(cmbWith("RDS", "WDS")), null);
    assert.match(dataRefusal(cmbWith("SQS", "RDS"))!, /without WDS \(CMBSZ\)$/);
    assert.match(dataRefusal(cmbWith("SQS", "WDS"))!, /without RDS \(CMBSZ\)$/);
    assert.match(dataRefusal(cmbWith("SQS"))!, /without RDS and WDS/);
    assert.match(dataRefusal({ ...cmbWith("RDS"), kind: "pmr" })!, /without WDS \(PMRCAP\)$/);
  });

  it("is what its name says, and what just the device's name says only if it is for data", () => {
    const fn = fpga();
    const queues = cmbWith("SQS", "LISTS");
    assert.equal(chooseRange(fn, [queues, bar2], "cmb", null), queues);
    assert.equal(chooseRange(fn, [queues, bar2], null, null), bar2);
    assert.throws(() => chooseRange(fn, [queues], null, null), {
      code: "NO_PROVIDER",
      hint: "it has cmb, but it is not for data: its controller offers it without RDS and WDS (CMBSZ)",
    });
  });
});

describe("A PMR that does not work", () => {
  let asked = 0;
  const failed = (code: string) =>
    ({
      memory: {
        cmb: () => null,
        pmrRange: () => ({ bar: 4, offset: 0, size: 16 * MIB, abilities: [] }),
        pmr: () => {
          asked++;
          return Promise.reject(new P2pError(code, "a test"));
        },
      },
    }) as unknown as NvmeController;

  it("keeps the device's other memory from nobody, and is what went wrong for who names it", async () => {
    for (const code of ["PMR_NOT_READY", "PMR_FAILED", "PMR_REFUSED"]) {
      const ranges = await providerRanges(fpga(), failed(code));
      assert.deepEqual(
        ranges.map(({ label }) => label),
        ["bar2"],
        "its BAR is no memory by another name",
      );
      await assert.rejects(providerRanges(fpga(), failed(code), "pmr"), { code });
    }
    await assert.rejects(providerRanges(fpga(), failed("DEVICE_GONE")), { code: "DEVICE_GONE" });
  });

  it("is not waited for by who wants something else", async () => {
    asked = 0;
    for (const wanted of ["bar2", null] as const) {
      const ranges = await providerRanges(fpga(), failed("PMR_NOT_READY"), wanted);
      assert.equal(chooseRange(fpga(), ranges, wanted, null).label, "bar2");
    }
    assert.equal(asked, 0);
  });
});

describe("What peers must not be let at", () => {
  it("is where the MSI-X capability says that vectors are", () => {
    assert.deepEqual(reservedRanges(fpga(), UNREAD, null, "bar1"), MSIX);
  });

  it("is read through VFIO where sysfs has shown too little", () => {
    const cut = fpga(64);
    assert.equal(cut.msix, undefined);
    const config = new Uint8Array(256);
    const whole = new DataView(config.buffer);
    whole.setUint16(0x06, 0x10, true);
    whole.setUint8(0x34, 0x70);
    whole.setUint16(0x70, 0x0011, true);
    whole.setUint16(0x72, 7, true);
    whole.setUint32(0x74, 0x8000 | 1, true);
    whole.setUint32(0x78, 0x200000 | 1, true);
    assert.deepEqual(reservedRanges(cut, deviceOf(cut, config), null, "bar1"), MSIX);
  });

  it("is all of an NVMe controller's BAR 0, and by the name of a BAR its CMB and PMR", () => {
    const fn = fpga();
    const cmb = { bar: 2, offset: MIB, size: MIB } as Cmb;
    const pmr = { bar: 4, offset: 0, size: 16 * MIB };
    const controller = { memory: { cmb: () => cmb, pmrRange: () => pmr } };
    const reserved = reservedRanges(fn, UNREAD, controller as unknown as NvmeController, "bar2");
    assert.deepEqual(
      reserved.map(({ bar, offset, size }) => [bar, offset, size]),
      [...MSIX.map(({ bar, offset, size }) => [bar, offset, size])].concat([
        [0, 0, 64 * KIB],
        [2, MIB, MIB],
        [4, 0, 16 * MIB],
      ]),
    );
    const asCmb = reservedRanges(fn, UNREAD, controller as unknown as NvmeController, "cmb");
    assert.deepEqual(asCmb, MSIX);
  });
});
