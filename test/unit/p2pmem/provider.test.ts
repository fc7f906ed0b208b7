import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import { P2pError } from "#lib/errors.js";
import { Provider } from "#lib/p2pmem/provider.js";
import type { ProviderMemory } from "#lib/p2pmem/provider-memory.js";
import { wholeRange } from "#lib/p2pmem/provider-range.js";
import { ProviderRegistry } from "#lib/p2pmem/registry.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { fakeFunction, fakeSwitch, fakeTopology } from "../../support/fake-pci.js";
import { FakePlatform } from "../../support/fake-platform.js";

const PAGE = 4096;
const PAGES = 16;
const BAR = 0x4000000000;
const NVME = parseBdf("03:00.0");
const CARD = parseBdf("05:00.0");
const WHY = new P2pError("DEVICE_GONE", "the card was pulled");

/** A card below a switch, whose BAR 2 is memory. `clients`: what is open before the provider is. */
function setUp(acs = 0, clients = [NVME]) {
  const card = fakeFunction({
    address: CARD,
    parent: "0000:02:02.0",
    classCode: 0x058000,
    resources: [
      { start: 0, size: 0, flags: 0 },
      { start: 0, size: 0, flags: 0 },
      { start: BAR, size: PAGES * PAGE, flags: 0x2200 },
    ],
  });
  const raw = fakeSwitch(acs).map((fn) => (fn.address === CARD ? card : fn));
  const platform = new FakePlatform(raw);
  const tree = new PciTree(fakeTopology(raw));
  const space = new AddressSpace(platform, tree);
  for (const client of clients) space.openDevice(client);
  const registry = new ProviderRegistry();
  /** `withdrawnWhile`: how much was mapped when the device was told to answer no more. */
  const state: { lost: P2pError | null; withdrawnWhile: number[]; barriers: number } = {
    lost: null,
    withdrawnWhile: [],
    barriers: 0,
  };
  const open = (busAddress: number | null = BAR): Provider => {
    const bytes: ProviderMemory = {
      memory: addon().allocatePinned(PAGES * PAGE, false),
      busAddress,
      rdmaDevice: null,
      exportDmabuf: (offset, length) => 1000 * offset + length,
    };
    const range = wholeRange("bar2", { bar: 2, offset: 0, size: PAGES * PAGE });
    const provider: Provider = new Provider(space, tree.get(CARD), range, bytes, {
      assertAlive: () => {
        if (state.lost) throw state.lost;
      },
      barrier: (readOne) => {
        state.barriers++;
        readOne();
      },
      withdraw: () => state.withdrawnWhile.push(platform.mapped.size),
      closed: () => registry.delete(provider),
    });
    registry.add(provider);
    return provider;
  };
  return { platform, space, registry, state, open };
}

describe("A provider", () => {
  it("is revoked: holders are told once, nothing more is given, and what was mapped is refused", async () => {
    const { platform, registry, space, state, open } = setUp();
    const provider = open();
    const allocation = provider.pool.alloc(PAGE);
    const told: P2pError[] = [];
    allocation.onRevoke((error) => told.push(error));
    const list = new ScatterList(space).addPeer(provider, allocation.offset, PAGE, allocation);
    const vector = list.map(NVME);
    const { buffer } = provider.memory;
    const whole = new ScatterList(space).addPeer(provider, 0, PAGE).map(NVME);

    const gone = provider.revoke(WHY);
    assert.deepEqual(
      told.map(({ code, message, device }) => [code, message, device]),
      [["DEVICE_GONE", "0000:05:00.0/bar2: the card was pulled", CARD]],
    );
    assert.equal(provider.isPublished, false);
    const refused = { code: "REVOKED", device: CARD, message: /the card was pulled$/ };
    assert.throws(() => provider.pool.alloc(PAGE), refused);
    assert.throws(() => provider.allocScatterlist(PAGE), refused);
    assert.throws(() => list.map(NVME), refused);
    assert.throws(() => vector.assertUsableBy(NVME), refused);
    assert.throws(() => whole.assertUsableBy(NVME), refused);
    assert.throws(() => provider.publish(), refused);
    assert.throws(() => registry.find([NVME], 1), { code: "NO_PROVIDER", message: /was pulled/ });

    assert.deepEqual([...platform.mapped.keys()], [BigInt(BAR)], "it is mapped while it is held");
    assert.equal(buffer.byteLength, PAGES * PAGE);
    vector.unmap();
    whole.unmap();
    provider.pool.free(allocation);
    await gone;
    assert.equal(platform.mapped.size, 0);
    assert.deepEqual(state.withdrawnWhile, [1], "its device has let go of the addresses before");
    assert.equal(buffer.byteLength, 0, "its buffer is detached");
    assert.deepEqual([...registry], []);
    await provider.close();
    assert.equal(told.length, 1);
  });

  it("is mapped once there is a device to map it for, and not at all if there is none", async () => {
    const { platform, space, open } = setUp(0, []);
    const provider = open();
    assert.equal(platform.mapped.size, 0);
    space.openDevice(NVME);
    const list = new ScatterList(space).addPeer(provider, 0, PAGE);
    assert.deepEqual([...platform.mapped.keys()], [BigInt(BAR)]);
    list.map(NVME).unmap();
    await provider.close();
    assert.equal(platform.mapped.size, 0);

    const lonely = setUp(0, []).open();
    await lonely.close();
    assert.throws(() => lonely.iova, { code: "REVOKED" });
  });

  it("whose place on the bus nobody knows is reached through the IOMMU alone", () => {
    const provider = setUp().open(null);
    assert.deepEqual(
      [provider.busAddress, provider.isIdentityMapped, provider.mapTypeFor(NVME)],
      [null, false, "THROUGH_HOST_BRIDGE"],
    );
  });

  it("is exported as long as it is there", async () => {
    const provider = setUp().open();
    assert.equal(provider.exportDmabuf(2, 3), 2003);
    await provider.close();
    assert.throws(() => provider.exportDmabuf(2, 3), { code: "REVOKED" });
  });

  it("that nobody holds is gone at once; another one can be opened then", async () => {
    const { platform, open } = setUp();
    await open().revoke(WHY);
    assert.equal(platform.mapped.size, 0);
    await open().close();
    assert.equal(platform.mapped.size, 0);
  });

  it("waits for the last holder, however many there are", async () => {
    const { platform, open } = setUp();
    const provider = open();
    const held = Array.from({ length: 3 }, () => provider.pool.alloc(PAGE));
    let isGone = false;
    const gone = provider.revoke(WHY).then(() => {
      isGone = true;
    });
    for (const allocation of held) {
      await new Promise(setImmediate);
      assert.equal(isGone, false);
      assert.equal(platform.mapped.size, 1);
      provider.pool.free(allocation);
    }
    await gone;
  });

  it("waits for the transfers to it, whatever their lists name", async () => {
    const { platform, space, open } = setUp();
    const provider = open();
    const allocation = provider.pool.alloc(PAGE);
    const whole = new ScatterList(space).addPeer(provider, 0, PAGE).map(NVME);
    const part = new ScatterList(space)
      .addPeer(provider, allocation.offset, PAGE, allocation)
      .map(NVME);
    for (const vector of [whole, part]) vector.pin();
    let isGone = false;
    const gone = provider.revoke(WHY).then(() => {
      isGone = true;
    });
    provider.pool.free(allocation);
    for (const vector of [part, whole]) {
      await new Promise(setImmediate);
      assert.equal(isGone, false);
      assert.equal(platform.mapped.size, 1);
      vector.unpin();
    }
    await gone;
    assert.equal(platform.mapped.size, 0);
  });

  it("is released whoever holds it when nobody can reach it any more, which ends the waiting", async () => {
    const { platform, open } = setUp();
    const provider = open();
    const allocation = provider.pool.alloc(PAGE);
    const gone = provider.revoke(WHY);
    provider.release();
    provider.release();
    await gone;
    assert.equal(platform.mapped.size, 0);
    provider.pool.free(allocation);
  });

  it("that cannot be unmapped keeps its memory, says so, and can be released later", async () => {
    const { platform, open } = setUp();
    const provider = open();
    const { buffer } = provider.memory;
    platform.failNext = "IO";
    await assert.rejects(provider.revoke(WHY), { code: "IO" });
    assert.equal(buffer.byteLength, PAGES * PAGE);
    provider.release();
    assert.equal(buffer.byteLength, 0);
  });

  it("whose device has gone is revoked by whoever notices", () => {
    const { state, open } = setUp();
    const provider = open();
    provider.assertAlive();
    state.lost = WHY;
    assert.throws(() => provider.assertAlive(), WHY);
    assert.equal(provider.revoked?.cause, WHY);
    assert.throws(() => provider.assertUsable(), { code: "REVOKED" });
  });

  it("is revoked with all others of its device", () => {
    const { registry, open } = setUp();
    const provider = open();
    registry.revokeDevice(NVME, WHY);
    provider.assertUsable();
    registry.revokeDevice(CARD, WHY);
    assert.throws(() => provider.assertUsable(), { code: "REVOKED", cause: WHY });
  });

  it("is found while it is published, and gives memory only then", () => {
    const { registry, open } = setUp();
    const provider = open();
    assert.equal(registry.find([NVME], PAGES * PAGE), provider);
    const held = provider.pool.alloc(PAGE);
    provider.pool.unpublish();
    assert.equal(provider.isPublished, false, "its pool is the one that knows");
    provider.publish();
    provider.unpublish();
    assert.throws(() => registry.find([NVME], 1), { message: /bar2: it is not published/ });
    assert.throws(() => provider.pool.alloc(PAGE), { code: "UNPUBLISHED" });
    held.assertUsable();
    provider.publish();
    assert.equal(registry.find([NVME], PAGE), provider);
    provider.release();
  });

  it("keeps others off its bytes, and no other bytes", () => {
    const { registry, open } = setUp();
    const { fn } = open();
    const part = (offset: number, size: number, bar = 2) =>
      wholeRange("bar2", { bar, offset, size });
    assert.throws(() => registry.assertFree(fn, part(PAGE, PAGE)), {
      code: "IN_USE",
      message: /overlaps 0000:05:00\.0\/bar2/,
    });
    registry.assertFree(fn, part(PAGES * PAGE, PAGE));
    registry.assertFree(fn, part(PAGE, PAGE, 4));
  });

  it("is reached by its bus address only where it is mapped there", () => {
    const { space, open } = setUp();
    const first = open();
    assert.deepEqual([first.isIdentityMapped, first.mapTypeFor(NVME)], [true, "BUS_ADDR"]);
    const second = open();
    assert.equal(second.isIdentityMapped, false);
    assert.equal(second.mapTypeFor(NVME), "THROUGH_HOST_BRIDGE");
    assert.equal(second.mapTypeFor(CARD), "BUS_ADDR", "what a device does inside leaves it not");
    const vector = new ScatterList(space).addPeer(second, PAGE, PAGE).map(NVME);
    assert.deepEqual([...vector.addresses], [second.iova + PAGE]);
    assert.equal(vector.mapType, "THROUGH_HOST_BRIDGE");
    vector.unmap();
    assert.throws(() => first.mapTypeFor(parseBdf("7f:00.0")), { code: "UNKNOWN_DEVICE" });
  });
});

describe("A provider's scatterlists", () => {
  it("are one segment where there is room, and exactly as long as was asked for", () => {
    const provider = setUp().open();
    const list = provider.allocScatterlist(3 * PAGE + 512);
    assert.deepEqual([list.count, list.byteLength, list.peer], [1, 3 * PAGE + 512, provider]);
    assert.equal(provider.pool.available, (PAGES - 4) * PAGE);
    provider.freeScatterlist(list);
    assert.equal(provider.pool.available, PAGES * PAGE);
  });

  it("are put together from the largest pieces that are free", () => {
    const provider = setUp().open();
    const pages = Array.from({ length: PAGES }, () => provider.pool.alloc(PAGE));
    // Free: pages 1, 2, 3; 5; 8, 9.
    for (const page of [1, 2, 3, 5, 8, 9]) provider.pool.free(pages[page]!);
    const list = provider.allocScatterlist(5 * PAGE + 100);
    const vector = list.map(NVME);
    assert.deepEqual(
      Array.from(vector.addresses, (address) => (address - BAR) / PAGE),
      [1, 8, 5],
    );
    assert.deepEqual([...vector.lengths], [3 * PAGE, 2 * PAGE, 100]);
    assert.equal(provider.pool.available, 0);
    vector.unmap();
    provider.freeScatterlist(list);
    assert.equal(provider.pool.available, 6 * PAGE);
  });

  it("are there as a whole or not at all", () => {
    const provider = setUp().open();
    const held = provider.pool.alloc(PAGE);
    assert.throws(() => provider.allocScatterlist(PAGES * PAGE), {
      code: "NO_ROOM",
      message: "0000:05:00.0/bar2 has 60 KiB free, not 64 KiB",
    });
    assert.equal(provider.pool.allocationCount, 1);
    provider.pool.free(held);
    for (const length of [0, -1, NaN, 1.5, 2 * PAGE + 0.5])
      assert.throws(() => provider.allocScatterlist(length), { code: "BAD_ARGUMENT" });
    assert.equal(provider.pool.available, PAGES * PAGE);
  });

  it("have no segment longer than was asked for", () => {
    const provider = setUp().open();
    const list = provider.allocScatterlist(7 * PAGE, { maxSegment: 2 * PAGE + 1 });
    assert.deepEqual([list.count, list.byteLength], [4, 7 * PAGE]);
    for (const maxSegment of [0, PAGE - 1, NaN, PAGE + 0.5])
      assert.throws(() => provider.allocScatterlist(PAGE, { maxSegment }), {
        code: "BAD_ARGUMENT",
      });
    provider.freeScatterlist(list);
  });

  it("are freed once, by who gave them, and are no use afterwards", () => {
    const [provider, other] = [setUp().open(), setUp().open()];
    const list = provider.allocScatterlist(PAGE);
    const vector = list.map(NVME);
    assert.throws(() => other.freeScatterlist(list), { code: "FOREIGN_FREE" });
    provider.freeScatterlist(list);
    assert.throws(() => provider.freeScatterlist(list), { code: "DOUBLE_FREE" });
    assert.throws(() => list.map(NVME), { code: "NOT_ALLOCATED" });
    assert.throws(() => vector.assertUsableBy(NVME), { code: "NOT_ALLOCATED" });
    vector.unmap();
  });
});
