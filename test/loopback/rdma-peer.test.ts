/** Regions of peer memory: what they carry, and how they end. */
import assert from "node:assert/strict";
import { addon } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import type { P2pError } from "#lib/errors.js";
import { barMemory } from "#lib/p2pmem/provider-memory.js";
import { wholeRange } from "#lib/p2pmem/provider-range.js";
import { Provider } from "#lib/p2pmem/provider.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { builtinMachines } from "#lib/platform/machine-schema.js";
import { RdmaDevices } from "#lib/rdma/devices.js";
import type { MemoryRegion } from "#lib/rdma/memory-region.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import type { Session } from "#lib/session.js";
import { ALL, Link, openSession } from "../rdma/link.js";
import { CARD, until, WC } from "./rnic.js";

const MIB = 1 << 20;
const NVME_CMB = "0000:03:00.0";

describe("memory regions of peer memory", () => {
  let session: Session;
  let link: Link;
  let card: Provider;

  beforeEach(async () => {
    session = await openSession();
    card = await session.provider(CARD);
    link = new Link(session.rdmaDevice());
  });
  afterEach(async () => {
    await session.close();
  });

  function inject(effect: "remove" | "vanish" | "error"): void {
    assert.ok(session.platform instanceof LoopbackPlatform);
    session.platform.inject(CARD, { on: "now", effect });
  }

  /** Half a region to its other half, again and again, until a request fails: its status. */
  async function trafficUntilItFails(region: MemoryRegion): Promise<number> {
    for (;;) {
      const status = await link.statusOf(region, region, 64 << 10);
      if (status !== WC.success) return status;
      await new Promise(setImmediate);
    }
  }

  it("carry data from provider to provider: no byte of it crosses host memory", async () => {
    const cmb = await session.provider(NVME_CMB);
    const host = addon().allocatePinned(MIB, false);
    const words = new Uint32Array(host.buffer);
    words.forEach((_, index) => (words[index] = index * 7));
    const [source, target] = [card.allocScatterlist(MIB), cmb.allocScatterlist(MIB)];
    const [from, to] = [link.domain.register(source, ALL), link.domain.register(target, ALL)];
    addon().copy(card.memory, from.address - card.iova, host, 0, MIB);
    const before = session.platform.traffic()!;
    link.write(from, to, MIB);
    assert.equal((await link.take(0, 1))[0]!.status, WC.success);
    cmb.barrier();
    const after = session.platform.traffic()!;
    assert.equal(after.hostMemoryBytes, before.hostMemoryBytes);
    assert.equal(addon().compare(cmb.memory, to.address - cmb.iova, host, 0, MIB), -1);
    host.close();
  });

  it("reach no further than the list that they were made of", async () => {
    const list = new ScatterList(session.addressSpace).addPeer(card, 8192 + 100, 1000);
    const region = link.domain.register(list, ALL);
    const { region: host, bytes } = link.host(2000);
    bytes.fill(0xee);
    link.write(host, region, 1000);
    assert.equal((await link.take(0, 1))[0]!.status, WC.success);
    const found = addon().allocatePinned(4096, false);
    addon().copy(found, 0, card.memory, 8192, 4096);
    const there = Buffer.from(found.buffer);
    assert.ok(there.subarray(100, 1100).every((byte) => byte === 0xee));
    assert.ok([...there.subarray(0, 100), ...there.subarray(1100, 4096)].every((b) => b === 0));
    found.close();
    // The page has room for it, the region has not.
    link.write(host, region, 1000, 1);
    assert.equal((await link.take(0, 1))[0]!.status, WC.remoteAccess);
  });

  const ends: Record<string, () => void> = {
    "is closed": () => void card.close(),
    "is removed": () => {
      inject("remove");
    },
    "reports an uncorrectable error": () => {
      inject("error");
    },
  };
  for (const [how, end] of Object.entries(ends))
    it(`are revoked under traffic when their provider ${how}`, async () => {
      const allocation = card.pool.alloc(MIB);
      const { offset } = allocation;
      const list = new ScatterList(session.addressSpace).addPeer(card, offset, MIB, allocation);
      const region = link.domain.register(list, ALL);
      const other = new Link(link.device);
      const { region: host, bytes } = other.host(4096);
      const told: string[] = [];
      const errors: P2pError[] = [];
      region.onRevoke((why) => {
        errors.push(why);
        told.push(`region: ${link.pairs.map(({ state }) => state).join()}`);
      });
      allocation.onRevoke(() => {
        told.push("allocation");
        card.pool.free(allocation);
      });
      assert.equal(await link.statusOf(region, region, 64 << 10), WC.success);
      const failed = trafficUntilItFails(region);
      end();
      assert.notEqual(await failed, WC.success);
      await until(() => errors.length > 0);
      assert.deepEqual(told, ["region: error,error", "allocation"]);
      const [error] = errors as [P2pError];
      assert.equal(error.code, "REVOKED");
      assert.equal(region.revoked, error);
      assert.throws(
        () => {
          region.assertUsable();
        },
        { code: "REVOKED" },
      );
      // Its keys are none any more, and other domains go on.
      const stale = new Link(link.device);
      bytes.fill(1);
      const { region: near } = stale.host(4096);
      assert.equal(await stale.statusOf(near, region, 4096), WC.remoteAccess);
      assert.equal(await other.statusOf(host, host, 64), WC.success);
      await card.revoke(error); // it waits for nobody any more
      assert.throws(() => link.domain.register(list, ALL), { code: /NOT_ALLOCATED|REVOKED/ });
      region.close();
    });

  it("are revoked under traffic when the controller whose CMB it is is reset", async () => {
    const cmb = await session.provider(NVME_CMB);
    const list = cmb.allocScatterlist(MIB);
    const region = link.domain.register(list, ALL);
    const failed = trafficUntilItFails(region);
    await (await session.controller(NVME_CMB)).reset();
    assert.notEqual(await failed, WC.success);
    assert.equal(region.revoked?.code, "REVOKED");
    assert.equal(link.pairs[0].state, "error");
    cmb.freeScatterlist(list);
    region.close();
    await cmb.revoke(region.revoked);
    // And once it is back, another region of it.
    const again = await session.provider(NVME_CMB);
    const { domain, ...rest } = new Link(link.device);
    const fresh = domain.register(again.allocScatterlist(MIB), ALL);
    assert.equal(fresh.revoked, null);
    assert.ok(rest.pairs.every(({ state }) => state === "ready-to-send"));
  });

  it("fail requests when their provider stops to decode, and can be closed then", async () => {
    const region = link.domain.register(
      new ScatterList(session.addressSpace).addPeer(card, 0, MIB),
      ALL,
    );
    const failed = trafficUntilItFails(region);
    inject("vanish");
    assert.notEqual(await failed, WC.success);
    assert.equal(link.pairs[0].state, "error");
    assert.throws(
      () => link.domain.register(new ScatterList(session.addressSpace).addPeer(card, 0, MIB), ALL),
      { code: /DEVICE_GONE|BAD_DMABUF/ },
    );
    region.close();
    await card.close();
  });

  it("let a provider that is closed go, where nobody listens", async () => {
    const list = new ScatterList(session.addressSpace).addPeer(card, 0, 4096);
    const region = link.domain.register(list, ALL);
    await card.close();
    assert.ok(region.revoked);
    region.close();
    region.close();
  });
});

describe("memory regions of peer memory that the kernel lets the NIC not reach", () => {
  it("are refused with the reason, before anything is exported", async () => {
    const configuration = { ...builtinMachines.rdma, hostBridge: { forwards: "none" } } as const;
    const platform = new LoopbackPlatform(configuration);
    const tree = new PciTree(platform.topology());
    const space = new AddressSpace(platform, tree);
    const address = parseBdf(CARD);
    const fn = tree.get(address);
    const range = wholeRange("bar2", { bar: 2, offset: 0, size: MIB });
    const nothing = (): void => undefined;
    const owner = { assertAlive: nothing, barrier: nothing, withdraw: nothing, closed: nothing };
    const bytes = barMemory(space.openDevice(address), fn, range);
    const exported: number[] = [];
    const watched = {
      ...bytes,
      exportDmabuf: (offset: number, length: number) => {
        exported.push(offset);
        return bytes.exportDmabuf(offset, length);
      },
    };
    const provider = new Provider(space, fn, range, watched, owner);
    const devices = new RdmaDevices(platform, tree);
    const list = new ScatterList(space).addPeer(provider, 0, 4096);
    assert.throws(() => devices.open().allocateDomain().register(list, ALL), {
      ...{ code: "NOT_SUPPORTED", device: "rnic0" },
      message: /rnic0 \(0000:06:00.0\) not reach 0000:05:00.0\/bar2: .*host bridge/,
    });
    assert.deepEqual(exported, []);
    devices.close();
    await provider.close();
    space.closeDevice(address);
    space.close();
    platform.close();
  });
});
