import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { fakeFunction } from "../../support/fake-pci.js";
import { FakePlatform } from "../../support/fake-platform.js";

const MiB = 2 ** 20;
const BAR = 0x4000000000;

function setUp(): { platform: FakePlatform; space: AddressSpace } {
  const platform = new FakePlatform([
    fakeFunction({ address: "0000:03:00.0", resources: [{ start: BAR, size: 2 * MiB }] }),
  ]);
  return { platform, space: new AddressSpace(platform, new PciTree(platform.topology())) };
}

describe("AddressSpace", () => {
  it("maps what it allocates, aligned for large pages, and unmaps it on close", () => {
    const { platform, space } = setUp();
    const small = space.allocate(100);
    const large = space.allocate(3 * MiB);
    assert.equal(platform.mapped.get(BigInt(small.iova)), 4096);
    assert.equal(large.iova % (2 * MiB), 0);
    large.close();
    large.close();
    assert.deepEqual([...platform.mapped.keys()], [BigInt(small.iova)]);
    assert.equal(large.buffer.byteLength, 0);
    small.close();
  });

  it("keeps memory that could not be unmapped: a device may still reach it", () => {
    const { platform, space } = setUp();
    const buffer = space.allocate(4096);
    platform.failNext = "IO";
    assert.throws(
      () => {
        buffer.close();
      },
      { code: "IO" },
    );
    assert.equal(buffer.buffer.byteLength, 4096);
    buffer.close();
    assert.equal(buffer.buffer.byteLength, 0);
  });

  it("keeps memory that is closed under a transfer until that has ended, and gives it to nobody", () => {
    const { platform, space } = setUp();
    const buffer = space.allocate(4096);
    const bytes = buffer.buffer;
    buffer.pin();
    buffer.pin();
    buffer.close();
    assert.throws(() => buffer.assertUsable(), { code: "GONE" });
    buffer.unpin();
    buffer.close();
    assert.deepEqual([platform.mapped.size, bytes.byteLength], [1, 4096]);
    const other = space.allocate(4096);
    assert.notEqual(other.iova, buffer.iova);
    buffer.unpin();
    assert.deepEqual([platform.mapped.size, bytes.byteLength], [1, 0]);
    other.close();
    assert.equal(platform.mapped.size, 0);
  });

  it("gives a device back that it cannot serve", () => {
    const { platform, space } = setUp();
    space.allocate(4096).close();
    const address = parseBdf("03:00.0");
    platform.failNext = "IO";
    assert.throws(() => space.openDevice(address), { code: "IO" });
    assert.deepEqual([space.hasDevice(address), platform.devices.size], [false, 0]);
    space.openDevice(address);
    assert.deepEqual([space.hasDevice(address), platform.devices.size], [true, 1]);
    space.closeDevice(address);
    assert.deepEqual([space.hasDevice(address), platform.devices.size], [false, 0]);
  });

  it("gives the IOVA back when mapping fails", () => {
    const { platform, space } = setUp();
    const first = space.allocate(4096);
    first.close();
    platform.failNext = "MEMLOCK";
    assert.throws(() => space.allocate(4096), { code: "MEMLOCK" });
    const buffer = space.allocate(4096);
    assert.equal(buffer.iova, first.iova);
    buffer.close();
  });

  it("maps a peer's BAR at its bus address, a second time elsewhere", () => {
    const { platform, space } = setUp();
    const bar = addon().allocatePinned(2 * MiB, false);
    const first = space.mapPeer(bar, BAR);
    assert.deepEqual([first.iova, first.isIdentity], [BAR, true]);
    const second = space.mapPeer(bar, BAR);
    assert.equal(second.isIdentity, false);
    assert.ok(second.iova < BAR || second.iova >= BAR + 2 * MiB);
    first.close();
    first.close();
    second.close();
    assert.equal(platform.mapped.size, 0);
    bar.close();
  });

  it("does not unmap one by one what its own close has unmapped", () => {
    const { platform, space } = setUp();
    const buffer = space.allocate(4096);
    space.close();
    space.close();
    assert.equal(platform.mapped.size, 0);
    buffer.close();
    assert.equal(buffer.buffer.byteLength, 0);
  });
});
