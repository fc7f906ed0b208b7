import assert from "node:assert/strict";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readBars, readUnassignedBars, readWindows } from "#lib/pci/resources.js";
import { PciTree } from "#lib/pci/tree.js";
import { configBytes, type Register } from "../../support/config-bytes.js";
import { fakeFunction, fakeTopology } from "../../support/fake-pci.js";

const MEMORY = 0x40200n;
const MEMORY_64 = 0x140204n;
const MEMORY_64_PREFETCH = 0x14220cn;
const IO = 0x40101n;
const WINDOW = 0x200n;
const UNSET = 0x20000000n;
const ROM = 0x46200n;

interface Line {
  start: bigint;
  size: bigint;
  flags: bigint;
}

/** Lines by their index, the others empty, as many as the kernel writes. */
function lines(
  count: number,
  given: Record<number, [start: bigint, size: bigint, flags: bigint]>,
): Line[] {
  return Array.from({ length: count }, (_, index) => {
    const [start, size, flags] = given[index] ?? [0n, 0n, 0n];
    return { start, size, flags };
  });
}

describe("BARs", () => {
  it("of 64 bits take two places, of which the second is none", () => {
    const bars = readBars(
      lines(7, {
        0: [0xfb400000n, 0x4000n, MEMORY_64],
        2: [0x4000000000n, 0x4000000n, MEMORY_64_PREFETCH],
        4: [0xfb500000n, 0x1000n, MEMORY],
      }),
    );
    assert.deepEqual(bars, [
      { index: 0, address: 0xfb400000, size: 0x4000, prefetchable: false, is64: true },
      null,
      { index: 2, address: 0x4000000000, size: 0x4000000, prefetchable: true, is64: true },
      null,
      { index: 4, address: 0xfb500000, size: 0x1000, prefetchable: false, is64: false },
      null,
    ]);
  });

  it("are memory: neither I/O ports nor the ROM count", () => {
    const resources = lines(7, { 1: [0xe000n, 0x20n, IO], 6: [0xfb600000n, 0x10000n, ROM] });
    assert.deepEqual(readBars(resources), Array(6).fill(null));
    assert.deepEqual(readUnassignedBars(resources), []);
  });

  it("that got no address are none that can be reached, and are known by their sizes", () => {
    const resources = lines(7, { 2: [0n, 0x10000000n, MEMORY_64_PREFETCH | UNSET] });
    assert.deepEqual(readBars(resources), Array(6).fill(null));
    assert.deepEqual(readUnassignedBars(resources), [{ index: 2, size: 0x10000000 }]);
  });

  it("of virtual functions are ranges that are in use, but no windows", () => {
    const raw = fakeFunction({ address: "0000:01:00.0" });
    raw.resources = lines(13, { 7: [0x5000000000n, 0x100000n, MEMORY_64_PREFETCH] });
    const tree = new PciTree(fakeTopology([raw]));
    const range = { start: 0x5000000000, size: 0x100000 };
    assert.deepEqual(tree.functions[0]?.vfBars, [range]);
    assert.deepEqual(tree.functions[0].windows, []);
    assert.deepEqual(tree.busRanges(), [range]);
  });
});

describe("windows of a bridge", () => {
  const DECODES: Register = [0x04, 2, 0x0006];
  const OPEN: Register[] = [
    // 0xfb400000 to 0xfb5fffff; 0x40_00000000 to 0x43_ffffffff, prefetchable, 64 bits
    ...([DECODES, [0x20, 2, 0xfb40], [0x22, 2, 0xfb50]] as const),
    ...([
      [0x24, 2, 0x0001],
      [0x26, 2, 0xfff1],
    ] as const),
    ...([
      [0x28, 4, 0x40],
      [0x2c, 4, 0x43],
    ] as const),
  ];
  const fromRegisters = [
    { start: 0xfb400000, size: 0x200000 },
    { start: 0x4000000000, size: 0x400000000 },
  ];
  const registers = (...given: Register[]): ConfigSpace =>
    new ConfigSpace(configBytes(64, ...given));

  it("are the memory among the kernel's lines, in either of its layouts", () => {
    for (const first of [7, 13]) {
      const resources = lines(first + 4, {
        [first]: [0xe000n, 0x1000n, 0x101n],
        [first + 1]: [0xc0000000n, 0x100000n, WINDOW],
        [first + 2]: [0x6000000000n, 0x40000000n, WINDOW | 0x102000n],
      });
      assert.deepEqual(readWindows(resources, registers(...OPEN)), [
        { start: 0xc0000000, size: 0x100000 },
        { start: 0x6000000000, size: 0x40000000 },
      ]);
    }
  });

  it("are what the registers say where the kernel's lines have none", () => {
    assert.deepEqual(readWindows(lines(13, {}), registers(...OPEN)), fromRegisters);
  });

  it("are none where base is above limit, or the bridge decodes no memory", () => {
    const closed: Register[] = [
      [0x20, 2, 0xfff0],
      [0x24, 2, 0xfff1],
    ];
    assert.deepEqual(readWindows(lines(13, {}), registers(DECODES, ...closed)), []);
    const off = registers(...OPEN, [0x04, 2, 0]);
    assert.deepEqual(readWindows(lines(13, {}), off), []);
    const gone = new ConfigSpace(new Uint8Array(64).fill(0xff));
    assert.deepEqual(readWindows(lines(13, {}), gone), []);
  });

  it("have 32 bits where the prefetchable one says so", () => {
    const config = registers(
      DECODES,
      [0x20, 2, 0xfff0],
      [0x24, 2, 0xd000],
      [0x26, 2, 0xd000],
      [0x28, 4, 0x99],
    );
    assert.deepEqual(readWindows([], config), [{ start: 0xd0000000, size: 0x100000 }]);
  });
});
