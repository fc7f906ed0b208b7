import assert from "node:assert/strict";
import type { NativeDevice } from "#lib/addon.js";
import { barMemory } from "#lib/p2pmem/provider-memory.js";
import { wholeRange } from "#lib/p2pmem/provider-range.js";
import { PciTree } from "#lib/pci/tree.js";
import { fakeFunction, fakeTopology, NONE } from "../../support/fake-pci.js";

const PAGE = 4096;
const BAR = 0x4000000000;

describe("Memory in a BAR", () => {
  const raw = fakeFunction({
    address: "0000:05:00.0",
    classCode: 0x058000,
    resources: [NONE, NONE, { start: BAR, size: 16 * PAGE, flags: 0x2200 }],
  });
  const fn = new PciTree(fakeTopology([raw])).functions[0]!;
  const device = {
    region: (index: number) => ({
      map: (offset: number, size: number) => ({ index, offset, size }),
    }),
    exportDmabuf: (...place: number[]) => place,
  } as unknown as NativeDevice;

  it("lies on the bus, is mapped, and is exported from its own place in the BAR on", () => {
    const range = wholeRange("bar2", { bar: 2, offset: 3 * PAGE, size: 5 * PAGE });
    const bytes = barMemory(device, fn, range);
    assert.deepEqual(bytes.memory, { index: 2, offset: 3 * PAGE, size: 5 * PAGE });
    assert.deepEqual([bytes.busAddress, bytes.rdmaDevice], [BAR + 3 * PAGE, null]);
    assert.deepEqual(bytes.exportDmabuf(PAGE, 2 * PAGE), [2, 4 * PAGE, 2 * PAGE]);
  });

  it("is whole pages of a BAR that there is", () => {
    for (const [bar, offset, size] of [
      [1, 0, PAGE],
      [null, 0, PAGE],
      [2, 512, PAGE],
      [2, 15 * PAGE, 2 * PAGE],
    ] as const)
      assert.throws(() => barMemory(device, fn, wholeRange("bar2", { bar, offset, size })), {
        code: "BAD_RANGE",
        device: fn.address,
      });
  });
});
