import assert from "node:assert/strict";
import { AddressSpace } from "#lib/dma/address-space.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { fakePeer } from "../../support/fake-peer.js";
import { FakePlatform } from "../../support/fake-platform.js";

const NVME = parseBdf("03:00.0");
const OTHER = parseBdf("04:00.0");

function setUp(): AddressSpace {
  const space = new AddressSpace(new FakePlatform([]), new PciTree({ functions: [], cpu: null }));
  space.openDevice(NVME);
  return space;
}

describe("ScatterList", () => {
  it("maps host memory to addresses and lengths, adjacent ones joined", () => {
    const space = setUp();
    const buffer = space.allocate(65536);
    const list = new ScatterList(space)
      .addHost(buffer, 0, 4096)
      .addHost(buffer, 4096, 512)
      .addHost(buffer, 8192);
    const vector = list.map(NVME);
    assert.deepEqual([...vector.addresses], [buffer.iova, buffer.iova + 8192]);
    assert.deepEqual([...vector.lengths], [4608, 65536 - 8192]);
    assert.equal(vector.byteLength, 4608 + 65536 - 8192);
    assert.deepEqual([vector.isPeer, vector.mapType, list.peer], [false, null, null]);
    vector.unmap();
    buffer.close();
  });

  it("says which memory its pieces are, as they were added", () => {
    const space = setUp();
    const [a, b] = [space.allocate(65536), space.allocate(4096)];
    const list = new ScatterList(space)
      .addHost(a, 4096, 512)
      .addHost(a, 0, 100)
      .addHost(b)
      .addHost(b, 8, 8)
      .addHost(a, 65535);
    assert.deepEqual(
      [...list.pieces()].map((piece) => {
        assert.ok("host" in piece);
        return [piece.host === a ? "a" : "b", piece.offset, piece.length];
      }),
      [
        ["a", 4096, 512],
        ["a", 0, 100],
        ["b", 0, 4096],
        ["b", 8, 8],
        ["a", 65535, 1],
      ],
    );
    assert.deepEqual(list.holders(), [a, b, a]);
    const peer = fakePeer(space, 0x4000000000);
    const other = new ScatterList(space).addPeer(peer, 4096, 8192).addPeer(peer, 0, 1);
    assert.deepEqual(
      [...other.pieces()],
      [
        { peer, offset: 4096, length: 8192 },
        { peer, offset: 0, length: 1 },
      ],
    );
    assert.deepEqual([...new ScatterList(space).pieces()], []);
    for (const buffer of [a, b]) buffer.close();
  });

  it("maps a provider's memory as peer memory, and says how the client reaches it", () => {
    const space = setUp();
    const peer = fakePeer(space, 0x4000000000, { mapTypeFor: () => "THROUGH_HOST_BRIDGE" });
    const list = new ScatterList(space).addPeer(peer, 4096, 8192);
    const vector = list.map(NVME);
    assert.deepEqual([...vector.addresses], [0x4000001000]);
    assert.deepEqual([vector.isPeer, vector.mapType], [true, "THROUGH_HOST_BRIDGE"]);
    assert.equal(list.byteLength, 8192);
    vector.unmap();
  });

  it("is not mapped for a client that does not reach the provider", () => {
    const space = setUp();
    const peer = fakePeer(space, 0x4000000000, {
      mapTypeFor: (client) => {
        throw new P2pError("NOT_SUPPORTED", "the host bridge does not forward", { device: client });
      },
    });
    const list = new ScatterList(space).addPeer(peer, 0, 4096);
    assert.throws(() => list.map(NVME), { code: "NOT_SUPPORTED", device: NVME });
    assert.equal(space.mappings.counts.size, 0);
  });

  it("targets one memory only", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    const [one, two] = [fakePeer(space, 0x4000000000), fakePeer(space, 0x5000000000)];
    assert.throws(() => new ScatterList(space).addHost(buffer).addPeer(one, 0, 4096), {
      code: "MIXED_TARGETS",
    });
    assert.throws(() => new ScatterList(space).addPeer(one, 0, 4096).addPeer(two, 0, 4096), {
      code: "MIXED_TARGETS",
    });
    buffer.close();
  });

  it("is split where the target changes, in order", () => {
    const space = setUp();
    const [a, b] = [space.allocate(8192), space.allocate(4096)];
    const [one, two] = [fakePeer(space, 0x4000000000), fakePeer(space, 0x5000000000)];
    const lists = ScatterList.split(space, [
      { host: a, offset: 4096 },
      { host: b },
      { peer: one, offset: 0, length: 512 },
      { peer: two, offset: 0, length: 4096 },
      { peer: two, offset: 8192, length: 4096 },
      { peer: one, offset: 512, length: 512 },
      { host: a, offset: 0, length: 100 },
    ]);
    assert.deepEqual(
      lists.map(({ peer, count, byteLength }) => [peer, count, byteLength]),
      [
        [null, 2, 8192],
        [one, 1, 512],
        [two, 2, 8192],
        [one, 1, 512],
        [null, 1, 100],
      ],
    );
    assert.deepEqual(ScatterList.split(space, []), []);
    a.close();
    b.close();
  });

  it("takes no memory of another address space", () => {
    const [space, foreign] = [setUp(), setUp()];
    const buffer = foreign.allocate(4096);
    const list = new ScatterList(space);
    assert.throws(() => list.addHost(buffer), { code: "FOREIGN_MEMORY" });
    assert.throws(() => list.addPeer(fakePeer(foreign, 0x4000000000), 0, 4096), {
      code: "FOREIGN_MEMORY",
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
      [0.5, 10],
      [0, NaN],
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
    vector.assertUsableBy(NVME);
    assert.throws(() => vector.assertUsableBy(OTHER), { code: "NOT_MAPPED_FOR_DEVICE" });
    vector.unmap();
    buffer.close();
  });

  it("is not mapped with nothing in it", () => {
    const space = setUp();
    assert.throws(() => new ScatterList(space).map(NVME), { code: "BAD_RANGE", message: /empty/ });
    assert.equal(space.mappings.counts.size, 0);
  });

  it("is not mapped for a device that has been closed", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    space.closeDevice(NVME);
    space.closeDevice(NVME);
    assert.throws(() => new ScatterList(space).addHost(buffer).map(NVME), {
      code: "NOT_MAPPED_FOR_DEVICE",
      device: NVME,
    });
    buffer.close();
  });

  it("is not mapped, and not used, once some of its memory has gone", () => {
    const space = setUp();
    const [kept, freed] = [space.allocate(4096), space.allocate(4096)];
    const list = new ScatterList(space).addHost(kept).addHost(freed).addHost(kept);
    const vector = list.map(NVME);
    freed.close();
    assert.throws(() => vector.assertUsableBy(NVME), { code: "GONE" });
    assert.throws(() => list.map(NVME), { code: "GONE" });
    vector.unmap();
    kept.close();
  });

  it("takes a client's own limits, or those that it is given", () => {
    const space = setUp();
    const buffer = space.allocate(8192);
    const list = new ScatterList(space).addHost(buffer);
    const client = { address: NVME, dmaLimits: { maxSegment: 4096 } };
    for (const [limits, count] of [
      [undefined, 2],
      [{}, 1],
      [{ maxSegment: 1024 }, 8],
      [{ maxSegment: 1024, maxSegments: 8 }, 8],
    ] as const) {
      const vector = list.map(client, limits);
      assert.equal(vector.count, count);
      vector.unmap();
    }
    assert.throws(() => list.map(client, { maxSegment: 1024, maxSegments: 7 }), {
      code: "TOO_MANY_SEGMENTS",
      message: "this list maps to more than the 7 segments that 0000:03:00.0 takes",
      device: NVME,
    });
    buffer.close();
  });

  for (const limits of [
    { maxSegment: 0 },
    { maxSegments: 0.5 },
    { boundary: 3 },
    { boundary: 0.5 },
  ])
    it(`knows no limits such as ${JSON.stringify(limits)}`, () => {
      const space = setUp();
      const list = new ScatterList(space).addHost(space.allocate(4096));
      assert.throws(() => list.map(NVME, limits), { code: "BAD_ARGUMENT" });
    });
});

describe("a DMA vector", () => {
  it("is unmapped exactly once, and not used afterwards", () => {
    const space = setUp();
    const buffer = space.allocate(4096);
    const vector = new ScatterList(space).addHost(buffer).map(NVME);
    vector.unmap();
    assert.throws(() => vector.assertUsableBy(NVME), { code: "NOT_MAPPED", device: NVME });
    assert.throws(() => vector.unmap(), { code: "NOT_MAPPED", device: NVME });
    buffer.close();
  });

  it("that is never unmapped is reported once, with its device, when the address space closes", async () => {
    const space = setUp();
    space.openDevice(OTHER);
    const list = new ScatterList(space).addHost(space.allocate(4096));
    for (const client of [NVME, OTHER, NVME, NVME]) list.map(client);
    list.map(OTHER).unmap();
    const warnings: Error[] = [];
    const collect = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on("warning", collect);
    space.close();
    space.close();
    await new Promise(setImmediate); // warnings are emitted on the next tick
    process.off("warning", collect);
    const [warning, ...more] = warnings as (Error & { code: string })[];
    assert.equal(more.length, 0);
    assert.equal(warning!.code, "P2PMEM_DMA_LEAK");
    assert.match(warning!.message, /: 3 for 0000:03:00\.0, 1 for 0000:04:00\.0$/);
  });
});
