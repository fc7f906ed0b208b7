import assert from "node:assert/strict";
import { addon, type NativePciFunction } from "#lib/addon.js";
import { builtinMachines, type MachineConfiguration } from "#lib/platform/machine-schema.js";
import { CARD, NVME0, NVME1, NVME2 } from "../support/raw-nvme.js";

const ROOT_PORT = "0000:00:01.0";
const UPSTREAM = "0000:01:00.0";
const DOWNSTREAM = ["0000:02:00.0", "0000:02:01.0", "0000:02:02.0"];

function functionsOf(configuration: MachineConfiguration): Map<string, NativePciFunction> {
  const machine = addon().createLoopbackMachine(configuration);
  const functions = machine.functions();
  machine.close();
  return new Map(functions.map((fn) => [fn.address, fn]));
}

function configOf(fn: NativePciFunction): DataView {
  return new DataView(fn.config.buffer, fn.config.byteOffset, fn.config.byteLength);
}

describe("loopback fabric", () => {
  const functions = functionsOf(builtinMachines.default);
  const get = (address: string) => functions.get(address) ?? assert.fail(`no ${address}`);

  it("puts a switch with three devices and a device of its own below two root ports", () => {
    const parents = [...functions.values()].map(({ address, parent }) => [address, parent]);
    assert.deepEqual(Object.fromEntries(parents), {
      "0000:00:00.0": null,
      [ROOT_PORT]: null,
      [UPSTREAM]: ROOT_PORT,
      [DOWNSTREAM[0]!]: UPSTREAM,
      [NVME0]: DOWNSTREAM[0],
      [DOWNSTREAM[1]!]: UPSTREAM,
      [NVME1]: DOWNSTREAM[1],
      [DOWNSTREAM[2]!]: UPSTREAM,
      [CARD]: DOWNSTREAM[2],
      "0000:00:02.0": null,
      [NVME2]: "0000:00:02.0",
    });
  });

  it("shows 4 KiB of configuration space with class codes, header types and port types", () => {
    const facts = (address: string) => {
      const config = configOf(get(address));
      assert.equal(config.byteLength, 4096);
      assert.equal(config.getUint8(0x34), 0x40);
      assert.equal(config.getUint8(0x40), 0x10); // PCI Express capability
      return [
        config.getUint32(8, true) >>> 8,
        config.getUint8(0x0e),
        config.getUint16(0x42, true) >> 4,
      ];
    };
    assert.deepEqual(facts(NVME0), [0x010802, 0, 0]);
    assert.deepEqual(facts(CARD), [0x058000, 0, 0]);
    assert.deepEqual(facts(ROOT_PORT), [0x060400, 1, 4]);
    assert.deepEqual(facts(UPSTREAM), [0x060400, 1, 5]);
    assert.deepEqual(facts(DOWNSTREAM[0]!), [0x060400, 1, 6]);
  });

  it("has the ACS capability on root and downstream ports and on nothing else", () => {
    const control = (address: string) => {
      const config = configOf(get(address));
      return (config.getUint32(0x100, true) & 0xffff) === 0x0d
        ? config.getUint16(0x106, true)
        : null;
    };
    assert.equal(control(ROOT_PORT), 0x1d); // SV, RR, CR, UF
    assert.deepEqual(DOWNSTREAM.map(control), [0, 0, 0]);
    assert.deepEqual([NVME0, CARD, UPSTREAM, "0000:00:00.0"].map(control), [
      null,
      null,
      null,
      null,
    ]);
    const redirecting = functionsOf(builtinMachines.acs).get(DOWNSTREAM[0]!) ?? assert.fail();
    assert.equal(configOf(redirecting).getUint16(0x106, true), 0x1d);
  });

  it("assigns naturally aligned BARs inside the windows of every bridge above", () => {
    for (const fn of functions.values())
      fn.resources.slice(0, 6).forEach((bar, index) => {
        if (bar.size === 0n) return;
        assert.equal(bar.start % bar.size, 0n, `${fn.address} BAR ${index}`);
        const config = configOf(fn);
        const inHeader = config.getBigUint64(0x10 + 4 * index, true);
        assert.equal(inHeader & ~0xfn, bar.start);
        const isPrefetchable = (bar.flags & 0x2000n) !== 0n;
        assert.equal(inHeader & 0xfn, isPrefetchable ? 0xcn : 0x4n);
        assert.equal(bar.start >= 2n ** 32n, isPrefetchable, "only prefetchable BARs are high up");
        for (let above = fn.parent; above !== null; above = get(above).parent) {
          const window = get(above).resources[isPrefetchable ? 15 : 14];
          assert.ok(window && bar.start >= window.start);
          assert.ok(bar.start + bar.size <= window.start + window.size);
        }
      });
    const sizes = (address: string) => get(address).resources.map(({ size }) => Number(size));
    assert.deepEqual(sizes(NVME0).slice(0, 3), [16384, 0, 64 << 20]);
    assert.deepEqual(sizes(CARD).slice(0, 3), [4096, 0, 256 << 20]);
    assert.equal(sizes(NVME0).length, 13);
    assert.equal(sizes(UPSTREAM).length, 17);
  });

  it("gives each bridge the same windows in its header as in its resources, none overlapping", () => {
    const siblings = DOWNSTREAM.map((address) => get(address).resources[14]!);
    for (const [index, a] of siblings.entries())
      for (const b of siblings.slice(index + 1))
        assert.ok(a.start + a.size <= b.start || b.start + b.size <= a.start);
    const { resources, ...bridge } = get(UPSTREAM);
    const config = configOf({ resources, ...bridge });
    const base = BigInt(config.getUint16(0x20, true) & 0xfff0) << 16n;
    const limit = (BigInt(config.getUint16(0x22, true) & 0xfff0) << 16n) | 0xfffffn;
    assert.deepEqual([base, limit - base + 1n], [resources[14]?.start, resources[14]?.size]);
    const high = (at: number) => BigInt(config.getUint32(at, true)) << 32n;
    const first = high(0x28) | (BigInt(config.getUint16(0x24, true) & 0xfff0) << 16n);
    const last = high(0x2c) | (BigInt(config.getUint16(0x26, true) & 0xfff0) << 16n) | 0xfffffn;
    assert.deepEqual([first, last - first + 1n], [resources[15]?.start, resources[15]?.size]);
  });

  it("puts everything below a switch without ACS in one IOMMU group", () => {
    const group = (address: string) => get(address).iommuGroup;
    assert.equal(group(NVME0), group(NVME1));
    assert.equal(group(NVME0), group(CARD));
    assert.equal(group(NVME0), group(DOWNSTREAM[1]!));
    assert.notEqual(group(NVME0), group(NVME2));
    assert.notEqual(group(NVME0), group(ROOT_PORT));
  });

  it("gives each device a group of its own where the ports isolate", () => {
    const isolated = functionsOf(builtinMachines.acs);
    const groups = [...isolated.values()].map(({ iommuGroup }) => iommuGroup);
    assert.equal(new Set(groups).size, groups.length);
  });

  it("names the drivers: vfio-pci for devices, pcieport for bridges", () => {
    assert.equal(get(NVME0).driver, "vfio-pci");
    assert.equal(get(UPSTREAM).driver, "pcieport");
    assert.equal(get("0000:00:00.0").driver, null);
  });

  it("assigns addresses that a 39-bit IOMMU can map identically", () => {
    const end = (fn: NativePciFunction) =>
      fn.resources.reduce(
        (most, { start, size }) => (start + size > most ? start + size : most),
        0n,
      );
    for (const fn of functions.values()) assert.ok(end(fn) <= 2n ** 39n);
  });
});
