import assert from "node:assert/strict";
import { className } from "#lib/pci/class-names.js";
import { likelyClients, likelyProviders } from "#lib/pci/peers.js";
import { PciTree } from "#lib/pci/tree.js";
import type { RawPciFunction } from "#lib/platform.js";
import { fakeFunction, fakeTopology, type FakeFunction } from "../../support/fake-pci.js";

const MEMORY = 0x200;
const PREFETCH = 0x2200;
const MIB = 2 ** 20;

function tree(...functions: (FakeFunction & { physicalFunction?: string })[]): PciTree {
  return new PciTree(
    fakeTopology(
      functions.map(({ physicalFunction, ...facts }): RawPciFunction => {
        return { ...fakeFunction(facts), physicalFunction: physicalFunction ?? null };
      }),
    ),
  );
}

function bar(size: number, flags: number): NonNullable<FakeFunction["resources"]> {
  return [{ start: 0x4000000000, size, flags }];
}

describe("likely providers", () => {
  it("are endpoints with a prefetchable BAR of 1 MiB or more", () => {
    const found = likelyProviders(
      tree(
        { address: "0000:01:00.0", resources: bar(MIB, PREFETCH) },
        { address: "0000:02:00.0", resources: bar(MIB / 2, PREFETCH) },
        { address: "0000:03:00.0", resources: bar(64 * MIB, MEMORY) },
        { address: "0000:04:00.0" },
        { address: "0000:05:00.0", resources: bar(MIB, PREFETCH), isBridge: true },
      ),
    );
    assert.deepEqual(
      found.map(({ address }) => address),
      ["0000:01:00.0"],
    );
  });
});

describe("likely clients", () => {
  it("are NVMe controllers, network and RDMA adapters, GPUs and accelerators; not memory", () => {
    const classes = [0x010802, 0x010601, 0x020000, 0x020700, 0x030200, 0x0c0600, 0x0c0330];
    const found = likelyClients(
      tree(
        ...[...classes, 0x120000, 0x058000].map((classCode, index) => ({
          address: `0000:0${index + 1}:00.0`,
          classCode,
        })),
      ),
    );
    assert.deepEqual(
      found.map(({ classCode }) => classCode),
      [0x010802, 0x020000, 0x020700, 0x030200, 0x0c0600, 0x120000],
    );
  });

  it("leave virtual functions to the physical function that stands for them", () => {
    const nic = { classCode: 0x020000, resources: bar(MIB, PREFETCH) };
    const made = tree(
      { address: "0000:01:00.0", ...nic },
      { address: "0000:01:00.1", physicalFunction: "0000:01:00.0", ...nic },
    );
    for (const found of [likelyClients(made), likelyProviders(made)])
      assert.deepEqual(
        found.map(({ address }) => address),
        ["0000:01:00.0"],
      );
  });
});

describe("class codes in words", () => {
  for (const [code, name] of [
    [0x010802, "NVMe controller"],
    [0x010803, "flash controller"],
    [0x018000, "storage controller"],
    [0x060400, "PCI bridge"],
    [0x0b4000, "co-processor"],
    [0xff0000, "class ff0000"],
    [0, "class 000000"],
  ] as const)
    it(`${code.toString(16).padStart(6, "0")} is ${name}`, () => {
      assert.equal(className(code), name);
    });
});
