import assert from "node:assert/strict";
import { ConfigSpace } from "#lib/pci/config-space.js";
import { readMsix } from "#lib/pci/msix.js";

/** An MSI-X capability at 70h, behind an empty one at 40h. */
function config(flags: number, table: number, pending: number, bytes = 256): ConfigSpace {
  const view = new DataView(new ArrayBuffer(256));
  view.setUint16(0x06, 0x10, true);
  view.setUint8(0x34, 0x40);
  view.setUint16(0x40, 0x7001, true);
  view.setUint16(0x70, 0x0011, true);
  view.setUint16(0x72, flags, true);
  view.setUint32(0x74, table, true);
  view.setUint32(0x78, pending, true);
  return new ConfigSpace(new Uint8Array(view.buffer, 0, bytes));
}

describe("The MSI-X capability", () => {
  it("says in which BAR and where table and pending bits are", () => {
    // 65 vectors: 1040 bytes, and two words of pending bits. Enable and mask bits do not count.
    assert.deepEqual(readMsix(config(0xc040, 0x2000 | 4, 0x3000 | 5)), {
      table: { bar: 4, offset: 0x2000, size: 1040 },
      pending: { bar: 5, offset: 0x3000, size: 16 },
    });
    assert.deepEqual(readMsix(config(0, 0xfffff000, 0xfffffff8)), {
      table: { bar: 0, offset: 0xfffff000, size: 16 },
      pending: { bar: 0, offset: 0xfffffff8, size: 8 },
    });
  });

  it("is null where there is none, and undefined where it lies beyond what could be read", () => {
    const none = new Uint8Array(256);
    assert.equal(readMsix(new ConfigSpace(none)), null);
    assert.equal(readMsix(config(0, 0, 0, 64)), undefined);
    assert.equal(readMsix(config(0, 0, 0, 0x7a)), undefined);
  });
});
