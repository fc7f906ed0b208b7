import assert from "node:assert/strict";
import type { NativeDevice } from "#lib/addon.js";
import { OwnMemory } from "#lib/nvme/memory/own-memory.js";
import { decodePmrcap, enablePmr, pmrBarrier } from "#lib/nvme/memory/pmr.js";
import type { PmrCapabilities } from "#lib/nvme/memory/pmr.js";
import type { Capabilities } from "#lib/nvme/registers.js";
import type { PciFunction } from "#lib/pci/function.js";
import { DEVICE, FakeBar } from "../fake-bar.js";

const [PMRCAP, PMRSTS] = [0xe00, 0xe08];
/** BAR 4, RDS, WDS, barrier by PMRSTS, CMSS, 2 s. */
const USUAL = 0x0103_0898;

describe("PMRCAP", () => {
  // NVMe 1.4 §3.1.23, by hand.
  const nothing: PmrCapabilities = {
    ...{ bar: 0, abilities: [], hasReadBarrier: false, hasStatusBarrier: false },
    ...{ hasMemorySpace: false, readyTimeout: 500 },
  };
  const cases: [number, Partial<PmrCapabilities>][] = [
    [0, {}],
    [0x0000_0008, { abilities: ["RDS"] }],
    [0x0000_0010, { abilities: ["WDS"] }],
    [0x0000_0018, { abilities: ["RDS", "WDS"] }],
    ...[0, 1, 2, 3, 4, 5].map((bar): [number, object] => [bar << 5, { bar }]),
    [0x0000_0400, { hasReadBarrier: true }],
    [0x0000_0800, { hasStatusBarrier: true }],
    [0x0000_3000, {}], // reserved bits of PMRWBM
    [0x0009_0000, { readyTimeout: 5000 }],
    [0x00ff_0000, { readyTimeout: 128_000 }],
    [0x0001_0100, { readyTimeout: 120_000 }], // PMRTU 1: minutes
    [0x0100_0000, { hasMemorySpace: true }],
    [0xfe00_0007, {}], // reserved
  ];
  for (const [pmrcap, expected] of cases)
    it(`0x${pmrcap.toString(16).padStart(8, "0")} is decoded`, () => {
      assert.deepEqual(decodePmrcap(pmrcap), { ...nothing, ...expected });
    });
});

/** Of a device whose BARs have 1 KiB, 2 KiB and so on. */
function memoryOf({ registers }: FakeBar): OwnMemory {
  const device = { region: (index: number) => ({ size: index * 1024 }) } as unknown as NativeDevice;
  const capabilities = { hasPmr: true, hasCmbControl: false } as unknown as Capabilities;
  return new OwnMemory(
    { address: DEVICE } as unknown as PciFunction,
    device,
    registers,
    capabilities,
  );
}

describe("The persistent memory region", () => {
  it("is switched on, waited for, and is its whole BAR", async () => {
    const bar = new FakeBar();
    bar.values.set(PMRCAP, USUAL);
    bar.values.set(PMRSTS, 1 << 8);
    let polls = 0;
    bar.onRead = (offset) => {
      if (offset === PMRSTS && ++polls === 3) bar.values.set(PMRSTS, 0);
    };
    const memory = memoryOf(bar);
    const range = memory.pmrRange();
    assert.equal(
      bar.log.some((line) => line.startsWith("write")),
      false,
    );
    const pmr = await memory.pmr();
    assert.equal(pmr, range);
    const { capabilities, ...where } = pmr!;
    assert.deepEqual(where, { bar: 4, offset: 0, size: 4096, abilities: ["RDS", "WDS"] });
    assert.equal(capabilities.hasStatusBarrier, true);
    assert.ok(bar.log.includes("write e04 1"));
    assert.equal(polls, 3);
  });

  it("that does not become ready is given up when PMRTO has passed", async () => {
    const bar = new FakeBar();
    bar.values.set(PMRSTS, 1 << 8);
    const memory = memoryOf(bar);
    let looks = 0;
    bar.onRead = (offset) => {
      if (offset === PMRSTS) looks++;
    };
    const took = async (): Promise<number> => {
      const began = performance.now();
      await assert.rejects(memory.pmr(), {
        ...{ code: "PMR_NOT_READY", device: DEVICE, message: /did not become ready in 500 ms/ },
      });
      return performance.now() - began;
    };
    assert.ok((await took()) >= 500);
    const before = looks;
    assert.ok(before > 0);
    await took();
    assert.equal(looks, before, "it is not waited for again");
    memory.hide();
    await memory.restore();
    assert.ok((await took()) >= 500, "but after a reset");
  });

  for (const [status, code, message] of [
    [0x0000, null, null],
    [0x0200, null, null], // what it held may be lost, but it works
    [0x0400, "PMR_FAILED", /is read only/],
    [0x0600, "PMR_FAILED", /is unreliable/],
    [0x0800, "PMR_FAILED", /in the unknown state 4/],
    [0x0080, "PMR_FAILED", /has lost writes \(PMRSTS.ERR 0x80\)/],
  ] as const)
    it(`with PMRSTS 0x${status.toString(16)} is ${code === null ? "used" : "not used"}`, async () => {
      const bar = new FakeBar();
      bar.values.set(PMRSTS, status);
      const pmr = memoryOf(bar).pmr();
      if (code === null) assert.ok(await pmr);
      else await assert.rejects(pmr, { code, message, device: DEVICE });
    });

  it("gets its address only where it has a register for it, high half first", () => {
    const bar = new FakeBar();
    enablePmr(bar.registers, decodePmrcap(0), 0x38_0000_1000);
    assert.deepEqual(bar.log, []);
    const capabilities = decodePmrcap(USUAL);
    enablePmr(bar.registers, capabilities, 0x38_0000_1000);
    assert.deepEqual(bar.log, ["write e18 38", "write e14 1002", "read e08"]);
    bar.values.set(PMRSTS, 1 << 12);
    assert.throws(
      () => {
        enablePmr(bar.registers, capabilities, 0x1000);
      },
      { code: "PMR_REFUSED" },
    );
  });

  for (const [what, bits, expected] of [
    ["a read of it, where that is one", 0x400, ["memory", "read e08"]],
    ["a read of PMRSTS, where that is one", 0x800, ["read e08"]],
    ["both reads, where both are", 0xc00, ["memory", "read e08"]],
    ["both reads, where it names none", 0, ["memory", "read e08"]],
  ] as const)
    it(`has as write barrier ${what}`, () => {
      const bar = new FakeBar();
      pmrBarrier(bar.registers, decodePmrcap(bits), () => bar.log.push("memory"));
      assert.deepEqual(bar.log, expected);
    });

  it("says at the barrier that it has lost writes", () => {
    const bar = new FakeBar();
    bar.values.set(PMRSTS, 3);
    assert.throws(
      () => {
        pmrBarrier(bar.registers, decodePmrcap(USUAL), () => undefined);
      },
      { code: "PMR_FAILED", hint: /not to be trusted/ },
    );
  });
});
