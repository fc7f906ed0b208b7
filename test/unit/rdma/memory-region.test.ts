/** What a region holds, and in which order it lets go. */
import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { AddressSpace } from "#lib/dma/address-space.js";
import { P2pError } from "#lib/errors.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { RdmaDevice } from "#lib/rdma/device.js";
import { Access } from "#lib/rdma/spec.js";
import type { PeerMemory } from "#lib/sgl/memory.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { fakeSwitch, fakeTopology } from "../../support/fake-pci.js";
import { fakePeer } from "../../support/fake-peer.js";
import { FakePlatform } from "../../support/fake-platform.js";
import { type FakeRdma, FakeRdmaDevice } from "../../support/fake-rdma.js";

const PAGE = 4096;
const NVME = parseBdf("03:00.0");
const NIC = parseBdf("04:00.0");
const CARD = parseBdf("05:00.0");
const BAR = 0x4000000000;
const WHY = new P2pError("REVOKED", "the card was pulled");

function setUp(facts: FakeRdma = {}, acs = 0) {
  const raw = fakeSwitch(acs);
  const tree = new PciTree(fakeTopology(raw));
  const space = new AddressSpace(new FakePlatform(raw), tree);
  space.openDevice(NVME);
  const fake = new FakeRdmaDevice(facts);
  const { log } = fake;
  const device = new RdmaDevice(fake.native, tree.get(NIC));
  const domain = device.allocateDomain();
  let revoke: (error: P2pError) => void = () => undefined;
  const peer = (rest: Partial<PeerMemory> = {}): PeerMemory =>
    fakePeer(space, BAR, {
      fn: tree.get(CARD),
      exportDmabuf: (offset, length) => {
        log.push(`export ${offset}+${length}`);
        return openSync("/dev/null", "r");
      },
      pin: () => log.push("pin"),
      unpin: () => log.push("unpin"),
      onRevoke: (listener) => {
        revoke = listener;
        return () => log.push("forget");
      },
      ...rest,
    });
  const connect = () =>
    domain.createQueuePair({
      ...{ sends: 1, receives: 1, sendCompletions: device.createCompletionQueue(1) },
    });
  return {
    ...{ space, tree, fake, log, device, domain, peer, connect },
    revoke: (error: P2pError) => {
      revoke(error);
    },
  };
}

describe("A memory region", () => {
  it("has a piece with keys of its own for each contiguous part of its list", () => {
    const { space, domain, log } = setUp();
    const [a, b] = [space.allocate(4 * PAGE), space.allocate(4 * PAGE)];
    const list = new ScatterList(space)
      .addHost(a, 100, 400)
      .addHost(a, 500, 12)
      .addHost(b, 0, PAGE)
      .addHost(a, 3 * PAGE);
    const region = domain.register(list, Access.LOCAL_WRITE);
    assert.deepEqual(log, [
      "register host 100+412 1",
      `register host 0+${PAGE} 1`,
      `register host ${3 * PAGE}+${PAGE} 1`,
    ]);
    assert.equal(region.byteLength, 412 + 2 * PAGE);
    assert.deepEqual(region.pieces[0], {
      ...{ address: 0x1000_0064, length: 412, lkey: 1, rkey: 101 },
    });
    for (const read of ["address", "lkey", "rkey"] as const)
      assert.throws(() => region[read], { code: "TOO_MANY_SEGMENTS" });
    const one = domain.register(new ScatterList(space).addHost(b), 0);
    assert.deepEqual([one.address, one.lkey, one.rkey], [0x1000_0000, 4, 104]);
  });

  it("keeps its memory mapped, though that is closed meanwhile, and is refused from then on", () => {
    const platform = new FakePlatform([]);
    const space = new AddressSpace(platform, new PciTree({ functions: [], cpu: null }));
    space.openDevice(NVME);
    const { domain } = setUp();
    const buffer = space.allocate(PAGE);
    const list = new ScatterList(space).addHost(buffer);
    const regions = [domain.register(list, 0), domain.register(list, 0)];
    for (const region of regions) region.assertUsable();
    buffer.close();
    for (const region of regions) {
      assert.throws(
        () => {
          region.assertUsable();
        },
        { code: "GONE" },
      );
      assert.equal(platform.mapped.size, 1);
      region.close();
      region.close();
    }
    assert.equal(platform.mapped.size, 0);
    assert.throws(() => domain.register(list, 0), { code: "GONE" });
  });

  it("is all of its list, or nothing", () => {
    const { space, fake, domain, log } = setUp();
    const buffer = space.allocate(4 * PAGE);
    const list = new ScatterList(space)
      .addHost(buffer, 0, 1)
      .addHost(buffer, 2, 1)
      .addHost(buffer, 4, 1);
    fake.failures.set("register host 4+1 1", new P2pError("MEMLOCK", "as asked"));
    assert.throws(() => domain.register(list, 1), { code: "MEMLOCK" });
    assert.deepEqual(log.slice(-2), ["close key 1", "close key 2"]);
    buffer.close();
    assert.throws(
      () => {
        buffer.assertUsable();
      },
      { code: "GONE" },
    );
  });

  it("of a provider is imported in whole pages, and has what was asked for", () => {
    const { space, domain, log, peer } = setUp();
    const memory = peer();
    const region = domain.register(new ScatterList(space).addPeer(memory, PAGE + 100, 5000), 1);
    const fd = / (\d+) /.exec(log[1]!)![1]!;
    assert.deepEqual(log, [`export ${PAGE}+${2 * PAGE}`, `register dmabuf ${fd} 100+5000`, "pin"]);
    assert.throws(() => openSync(`/proc/self/fd/${fd}`, "r"), "the descriptor was closed");
    assert.deepEqual([region.target, region.address], ["peer", BAR + PAGE + 100]);
    log.length = 0;
    region.close();
    assert.deepEqual(log, ["close key 1", "forget", "unpin"]);
    assert.equal(region.revoked, null);
    assert.throws(
      () => {
        region.assertUsable();
      },
      { code: "GONE" },
    );
  });

  it("of the NIC's own memory is not exported", () => {
    const { space, domain, log, peer } = setUp({ name: "fake0" });
    domain.register(new ScatterList(space).addPeer(peer({ rdmaDevice: "fake0" }), PAGE, PAGE), 1);
    assert.deepEqual(log, [`register host ${PAGE}+${PAGE} 1`, "pin"]);
  });

  it("is revoked in this order: keys, queue pairs, holders, memory", () => {
    const { space, domain, log, peer, connect, revoke } = setUp();
    const region = domain.register(new ScatterList(space).addPeer(peer(), 0, PAGE), 1);
    const [, gone] = [connect(), connect()];
    gone.close();
    log.length = 0;
    region.onRevoke((error) => {
      assert.equal(error, WHY);
      assert.equal(region.revoked, WHY);
      log.push("told");
    });
    revoke(WHY);
    assert.deepEqual(log, ["close key 1", "fail queue pair 1", "told", "unpin"]);
    assert.throws(() => {
      region.assertUsable();
    }, WHY);
    region.onRevoke(() => log.push("told late"));
    region.close();
    assert.deepEqual(log.slice(4), ["told late", "close key 1", "forget"]);
  });

  it("may be closed by who is told of its end", () => {
    const { space, domain, log, peer, revoke } = setUp();
    const region = domain.register(new ScatterList(space).addPeer(peer(), 0, PAGE), 1);
    region.onRevoke(() => {
      region.close();
    });
    revoke(WHY);
    assert.equal(log.filter((line) => line === "unpin").length, 1);
  });

  it("keeps its memory where its keys stay, tells its holders, and lets go when they are gone", () => {
    const { space, fake, domain, log, peer, connect, revoke } = setUp();
    const region = domain.register(new ScatterList(space).addPeer(peer(), 0, PAGE), 1);
    connect();
    region.onRevoke(() => log.push("told"));
    const failure = new P2pError("IO", "the device is busy");
    fake.failures.set("close key 1", failure);
    log.length = 0;
    assert.throws(() => {
      revoke(WHY);
    }, failure);
    assert.deepEqual(log, ["close key 1", "fail queue pair 1", "told"]);
    assert.throws(() => {
      region.close();
    }, failure);
    assert.ok(!log.includes("unpin"));
    fake.failures.clear();
    region.close();
    assert.equal(log.at(-1), "unpin");
  });

  it("gives the address of inline data only where the CPU may read it", () => {
    const { space, domain, peer } = setUp();
    const buffer = space.allocate(PAGE);
    const host = domain.register(new ScatterList(space).addHost(buffer, 512, 64), 0);
    assert.equal(host.inlineAddress(8, 56), 0x1000_0208);
    for (const [offset, length] of [
      [8, 57],
      [-1, 1],
      [0, NaN],
    ] as const)
      assert.throws(() => host.inlineAddress(offset, length), { code: "BAD_RANGE" });
    const other = domain.register(new ScatterList(space).addPeer(peer(), 0, PAGE), 0);
    assert.throws(() => other.inlineAddress(0, 1), { code: "BAD_ARGUMENT", message: /inline/ });
    host.close();
    assert.throws(() => host.inlineAddress(0, 1), { code: "GONE" });
  });
});

describe("A protection domain", () => {
  it("refuses a provider that the kernel lets the NIC not reach, and says why", () => {
    // All ports redirect, and nobody knows that root complex to forward.
    const tree = new PciTree({
      ...fakeTopology(fakeSwitch(0x1d)),
      cpu: { vendor: "GenuineIntel", family: 6, model: "fake" },
    });
    const space = new AddressSpace(new FakePlatform([]), tree);
    space.openDevice(NVME);
    const fake = new FakeRdmaDevice();
    const domain = new RdmaDevice(fake.native, tree.get(NIC)).allocateDomain();
    const list = new ScatterList(space).addPeer(fakePeer(space, BAR, { fn: tree.get(CARD) }), 0, 1);
    assert.throws(() => domain.register(list, 1), {
      ...{
        code: "NOT_SUPPORTED",
        device: "fake0",
        message: /reach 0000:05:00.0\/bar2: .*redirect/,
      },
    });
    assert.deepEqual(fake.log, []);
  });

  it("imports nothing for a NIC that is no PCI function", () => {
    const { space, fake, peer, log } = setUp();
    const device = new RdmaDevice(fake.native, null);
    const list = new ScatterList(space).addPeer(peer(), 0, PAGE);
    assert.throws(() => device.allocateDomain().register(list, 1), {
      ...{ code: "NO_DMABUF", device: "fake0", hint: /host memory/ },
    });
    assert.deepEqual(log, []);
  });

  it("takes all that was made of it with it, queue pairs first", () => {
    const { space, domain, device, log, connect } = setUp();
    domain.register(new ScatterList(space).addHost(space.allocate(PAGE)), 0);
    connect();
    log.length = 0;
    domain.close();
    domain.close();
    device.close();
    device.close();
    assert.deepEqual(log, [
      ...["close queue pair 1", "close key 1", "close domain"],
      ...["close completion queue", "close fake0"],
    ]);
  });

  it("stays, with what it was made for, where a queue pair cannot be closed, and can be closed again", () => {
    const { space, fake, domain, device, log, connect } = setUp();
    domain.register(new ScatterList(space).addHost(space.allocate(PAGE)), 0);
    const pair = connect();
    const failure = new P2pError("IO", "the device is busy");
    fake.failures.set("close queue pair 1", failure);
    log.length = 0;
    for (const object of [pair, domain, device])
      assert.throws(() => {
        object.close();
      }, failure);
    assert.ok(
      pair.sends.entries > 0 && !log.includes("close domain") && !log.includes("close fake0"),
    );
    fake.failures.clear();
    log.length = 0;
    device.close();
    assert.deepEqual(log, ["close queue pair 1", "close domain", "close fake0"]);
    for (const object of [pair, domain, device]) object.close();
    assert.equal(log.length, 3);
  });
});
