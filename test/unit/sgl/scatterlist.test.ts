import assert from "node:assert/strict";
import { AddressSpace } from "#lib/dma/address-space.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { FakePlatform } from "../../support/fake-platform.js";

const NVME = parseBdf("03:00.0");
const OTHER = parseBdf("04:00.0");

function setUp(): AddressSpace {
  const platform = new FakePlatform([]);
  const space = new AddressSpace(platform, new PciTree({ functions: [], cpu: null }));
  space.openDevice(NVME);
  return space;
}

/** As much of a provider as a scatterlist looks at. */
function fakeProvider(iova: number): Provider {
  return { iova, size: 65536 } as unknown as Provider;
}

describe("ScatterList", () => {
  it("maps host memory to addresses and lengths, adjacent ones joined", () => {
    const space = setUp();
    const buffer = space.allocate(65536);
    const vector = new ScatterList(space)
      .addHost(buffer, 0, 4096)
      .addHost(buffer, 4096, 512)
      .addHost(buffer, 8192)
      .map(NVME);
    assert.deepEqual([...vector.addresses], [buffer.iova, buffer.iova + 8192]);
    assert.deepEqual([...vector.lengths], [4608, 65536 - 8192]);
    assert.equal(vector.byteLength, 4608 + 65536 - 8192);
    assert.equal(vector.isPeer, false);
    buffer.close();
  });

  it("maps a provider's memory as peer memory", () => {
    const list = new ScatterList(setUp()).addPeer(fakeProvider(0x4000000000), 4096, 8192);
    const vector = list.map(NVME);
    assert.deepEqual([...vector.addresses], [0x4000001000]);
    assert.equal(vector.isPeer, true);
    assert.equal(list.byteLength, 8192);
  });

  it("targets one memory only", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    const [one, two] = [fakeProvider(0x4000000000), fakeProvider(0x5000000000)];
    assert.throws(() => new ScatterList(space).addHost(buffer).addPeer(one, 0, 4096), {
      code: "MIXED_TARGETS",
    });
    assert.throws(() => new ScatterList(space).addPeer(one, 0, 4096).addPeer(two, 0, 4096), {
      code: "MIXED_TARGETS",
    });
    buffer.close();
  });

  it("refuses pieces outside of their memory", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    for (const [offset, length] of [
      [-1, 10],
      [0, 4097],
      [4096, 1],
      [0, 0],
    ] as const)
      assert.throws(() => new ScatterList(space).addHost(buffer, offset, length), {
        code: "BAD_RANGE",
      });
    buffer.close();
  });

  it("maps only for devices of the same address space, and for one of them at a time", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    const list = new ScatterList(space).addHost(buffer);
    assert.throws(() => list.map(OTHER), { code: "NOT_MAPPED_FOR_DEVICE", device: OTHER });
    const vector = list.map(NVME);
    vector.assertClient(NVME);
    assert.throws(
      () => {
        vector.assertClient(OTHER);
      },
      { code: "NOT_MAPPED_FOR_DEVICE" },
    );
    buffer.close();
  });
});
