import assert from "node:assert/strict";
import { runCopy } from "#lib/copy/copy.js";
import type { CopyPlan } from "#lib/copy/plan.js";
import { prepareSource, verifyDestination } from "#lib/copy/verify.js";
import { CONFIG_REGION, type NativeDevice, type NativeRegion } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import type { Provider } from "#lib/p2pmem/provider.js";
import type { Session } from "#lib/session.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import {
  devicesOf,
  load,
  namespaceOf,
  openSession,
  pattern,
  planOf,
  store,
  withVector,
} from "./machine.js";
import type { Devices } from "./machine.js";

const KIB = 1024;
const MIB = 1024 * KIB;
const PAGE = 4 * KIB;
const WHY = new P2pError("DEVICE_GONE", "its power was cut");

let session: Session;
let devices: Devices;

async function setUp(): Promise<void> {
  session = await openSession();
  devices = devicesOf(session);
}

/** A copy without an end, and a promise that it has moved something. */
function endless(plan: CopyPlan): { run: Promise<unknown>; moving: Promise<void> } {
  let moved = (): void => undefined;
  const moving = new Promise<void>((resolve) => {
    moved = resolve;
  });
  const onProgress = (bytes: number): void => {
    if (bytes > 0) moved();
  };
  return { run: runCopy(session, { ...plan, runtime: 3600, onProgress }), moving };
}

function planThrough(provider: Provider, rest: Partial<CopyPlan> = {}): CopyPlan {
  const plan = { path: "p2p" as const, provider, bs: 16 * KIB, size: MIB, iodepth: 4 };
  return planOf(devices.nvme1, devices.nvme2, { ...plan, ...rest });
}

async function assertCopies(plan: CopyPlan, seed: number): Promise<void> {
  await prepareSource(session, plan, "pattern", seed);
  await runCopy(session, plan);
  assert.equal((await verifyDestination(session, plan, "pattern", seed)).mismatches, 0);
}

describe("providers", () => {
  beforeEach(setUp);
  afterEach(() => session.close());

  it("are found by distance, reach and room, and only while they are published", async () => {
    const { nvmeCmb, nvme1, card } = devices;
    const clients = [nvmeCmb, nvme1];
    assert.throws(() => session.findProvider(clients, PAGE), { code: "NO_PROVIDER" });
    const far = await session.provider(`${card}/bar2`);
    const near = await session.provider(`${nvmeCmb}/cmb`);
    assert.equal(session.findProvider(clients, PAGE), near);
    near.unpublish();
    assert.equal(session.findProvider(clients, PAGE), far);
    const most = far.pool.alloc(far.pool.largestFree);
    assert.throws(() => session.findProvider(clients, PAGE), {
      code: "NO_PROVIDER",
      message: new RegExp(`${card}/bar2: it has 0 B free.*${nvmeCmb}/cmb: it is not published`),
    });
    far.pool.free(most);
    near.publish();
    assert.equal(session.findProvider(clients, PAGE), near);
  });

  it("may be parts of a memory, which share no bytes", async () => {
    const { nvmeCmb, card } = devices;
    for (const [name, seed] of [
      [`${card}/bar2@1m+256k`, 1],
      [`${card}/bar2@1280k+256k`, 2],
      [`${nvmeCmb}/cmb@64k+128k`, 3],
    ] as const) {
      const provider = await session.provider(name);
      assert.equal(provider.name, name);
      assert.equal(provider.iova, provider.busAddress);
      assert.equal(await session.provider(name), provider);
      await assertCopies(planThrough(provider, { iodepth: 2 }), seed);
    }
    for (const name of [`${card}/bar2`, `${card}/bar2@1m+4k`, `${card}/bar2@1148k+256k`])
      await assert.rejects(session.provider(name), { code: "IN_USE", message: /overlaps .*@1m/ });
    await assert.rejects(session.provider(`${nvmeCmb}/cmb`), { code: "IN_USE" });
  });

  it("are no registers, and nothing that is not there", async () => {
    const { nvmeCmb, nvme1, card } = devices;
    const cmb = (await session.controller(nvmeCmb)).memory.cmb()!;
    const { size } = session.pci.functions.find(({ address }) => address === card)!.bars[2]!;
    for (const [name, code, message] of [
      [`${nvme1}/bar0@0+4k`, "NOT_MAPPABLE", /registers and doorbells|MSI-X/],
      [`${nvme1}/bar0@4k+4k`, "NOT_MAPPABLE", /registers and doorbells/],
      [`${nvmeCmb}/bar${cmb.bar}@0+4k`, "NOT_MAPPABLE", /which is \/cmb/],
      [`${card}/bar2@${size}+4k`, "BAD_RANGE", /past the end/],
      [`${card}/bar2@4k+${size}`, "BAD_RANGE", /past the end/],
      [`${card}/bar2@0+0`, "BAD_RANGE", /empty/],
      [`${card}/bar2@512+4k`, "BAD_RANGE", /whole pages/],
      [`${card}/bar5@0+4k`, "NO_PROVIDER", /no bar5/],
    ] as const)
      await assert.rejects(session.provider(name), { code, message }, name);
  });
});

describe("a provider's scatterlist", () => {
  let source: NvmeNamespace;
  let destination: NvmeNamespace;
  let provider: Provider;

  before(async () => {
    await setUp();
    source = await namespaceOf(session, devices.nvme1);
    destination = await namespaceOf(session, devices.nvme2);
    provider = await session.provider(`${devices.card}/bar2@0+64k`);
  });
  after(() => session.close());

  it("holds data in its pieces, in order, where the provider is fragmented", async () => {
    const pages = Array.from({ length: 16 }, () => provider.pool.alloc(PAGE));
    // Free: pages 1; 3, 4, 5; 8, 9; 15.
    for (const page of [1, 3, 4, 5, 8, 9, 15]) provider.pool.free(pages[page]!);
    const list = provider.allocScatterlist(7 * PAGE);
    try {
      const bytes = pattern(7 * PAGE, 11);
      await store(session, source, 0, bytes);
      await store(session, destination, 0, pattern(7 * PAGE, 12));
      const blocks = (7 * PAGE) / source.blockSize;
      await withVector(list, source, async (vector) => {
        assert.equal(vector.count, 4);
        await source.read(0, blocks, vector);
      });
      await withVector(list, destination, (vector) => destination.write(0, blocks, vector));
      assert.deepEqual(await load(session, destination, 0, 7 * PAGE), bytes);
    } finally {
      provider.freeScatterlist(list);
      for (const [i, page] of pages.entries())
        if (![1, 3, 4, 5, 8, 9, 15].includes(i)) provider.pool.free(page);
    }
    assert.equal(provider.pool.available, provider.size);
  });

  it("and host memory are read into one after the other, where a mixed list was split", async () => {
    const bytes = pattern(4 * PAGE, 13);
    await store(session, source, 0, bytes);
    const host = session.addressSpace.allocate(2 * PAGE);
    const peer = provider.pool.alloc(2 * PAGE);
    const at = (offset: number) => ({ peer: provider, offset: peer.offset + offset, length: PAGE });
    const lists = ScatterList.split(session.addressSpace, [
      at(PAGE),
      at(0),
      { host, offset: PAGE, length: PAGE },
      { host, offset: 0, length: PAGE },
    ]);
    assert.equal(lists.length, 2);
    let done = 0;
    for (const list of lists)
      await withVector(list, source, async (vector) => {
        const blocks = list.byteLength / source.blockSize;
        await source.read(done / source.blockSize, blocks, vector);
        done += list.byteLength;
      });
    const swapped = new Uint8Array(host.buffer, 0, 2 * PAGE);
    assert.deepEqual(swapped.slice(PAGE), bytes.slice(2 * PAGE, 3 * PAGE));
    assert.deepEqual(swapped.slice(0, PAGE), bytes.slice(3 * PAGE));
    await withVector(lists[0]!, destination, (vector) =>
      destination.write(0, (2 * PAGE) / destination.blockSize, vector),
    );
    assert.deepEqual(await load(session, destination, 0, 2 * PAGE), bytes.slice(0, 2 * PAGE));
    host.close();
    provider.pool.free(peer);
  });

  it("mapped for one device is refused by another, and by both once it is freed", async () => {
    const list = provider.allocScatterlist(PAGE);
    await withVector(list, source, async (vector) => {
      await assert.rejects(destination.read(0, 1, vector), { code: "NOT_MAPPED_FOR_DEVICE" });
      await source.read(0, 1, vector);
      provider.freeScatterlist(list);
      await assert.rejects(source.read(0, 1, vector), { code: "NOT_ALLOCATED" });
    });
  });
});

describe("memory that is let go under a transfer", () => {
  let source: NvmeNamespace;
  let length: number;

  beforeEach(async () => {
    await setUp();
    source = await namespaceOf(session, devices.nvme1);
    length = 8 * source.controller.maxTransfer;
  });
  afterEach(() => session.close());

  /** Lets `list` go right after reads into it, of which the queue has taken the first ones alone. */
  async function readWhile(list: ScatterList, letGo: () => void): Promise<void> {
    await withVector(list, source, async (vector) => {
      await source.read(0, 1, vector); // makes the queue, of 63 commands
      const blocks = length / source.blockSize;
      const reads = Array.from({ length: 9 }, () => source.read(0, blocks, vector));
      await Promise.resolve(); // each has its queue
      letGo();
      const ends = await Promise.allSettled(reads);
      assert.equal(ends[0]?.status, "fulfilled");
      const last = ends.at(-1) as PromiseRejectedResult;
      assert.match((last.reason as P2pError).code, /^(GONE|NOT_ALLOCATED)$/);
    });
    assert.deepEqual(session.addressSpace.takeFaults() ?? [], []);
  }

  it("stays until that has ended: a buffer", async () => {
    const buffer = session.addressSpace.allocate(length);
    const list = new ScatterList(session.addressSpace).addHost(buffer, 0, length);
    await readWhile(list, () => {
      buffer.close();
    });
    assert.equal(buffer.buffer.byteLength, 0);
  });

  it("stays until that has ended: pages of a provider, of which nobody else gets them", async () => {
    const provider = await session.provider(devices.card);
    const list = provider.allocScatterlist(length);
    await readWhile(list, () => {
      provider.freeScatterlist(list);
    });
    assert.equal(provider.pool.available, provider.size);
  });
});

describe("a provider that is revoked", () => {
  beforeEach(setUp);
  afterEach(() => session.close());

  it("during a copy ends it, by name and reason; others go on, and it can be opened again", async () => {
    const provider = await session.provider(`${devices.card}/bar2@0+1m`);
    const other = await session.provider(`${devices.card}/bar2@1m+1m`);
    const { run, moving } = endless(planThrough(provider));
    const bystander = new AbortController();
    const beside = endless(
      planOf(devices.nvmeCmb, devices.nvme2 + "/1@8m", {
        ...{ path: "p2p", provider: other, size: MIB, signal: bystander.signal },
      }),
    );
    const ended = assert.rejects(run, {
      code: "REVOKED",
      device: devices.card,
      message: `${provider.name} was revoked: its power was cut`,
    });
    const interrupted = assert.rejects(beside.run, { code: "INTERRUPTED" });
    await moving;
    const gone = provider.revoke(WHY);
    await ended;
    assert.equal(provider.pool.available, provider.size, "the copy's memory is free");
    await gone;
    await beside.moving;
    bystander.abort();
    await interrupted;

    const again = await session.provider(provider.name);
    assert.notEqual(again, provider);
    await assertCopies(planThrough(again), 21);
    await assert.rejects(runCopy(session, planThrough(provider)), { code: "REVOKED" });
  });

  it("because it is closed takes its memory from under nobody", async () => {
    const provider = await session.provider(devices.card);
    const { run, moving } = endless(planThrough(provider));
    const ended = assert.rejects(run, { code: "REVOKED", message: /: it was closed$/ });
    await moving;
    await Promise.all([provider.close(), ended]);
    await assertCopies(planThrough(await session.provider(devices.card)), 22);
  });

  it("refuses what was mapped and allocated, and waits for who holds it", async () => {
    const source = await namespaceOf(session, devices.nvme1);
    const provider = await session.provider(devices.card);
    const held = provider.pool.alloc(PAGE);
    const list = new ScatterList(session.addressSpace).addPeer(provider, held.offset, PAGE);
    await withVector(list, source, async (vector) => {
      await source.read(0, 1, vector);
      const gone = provider.revoke(WHY);
      await assert.rejects(source.read(0, 1, vector), { code: "REVOKED", device: devices.card });
      assert.throws(() => list.map(source.controller), { code: "REVOKED" });
      await assert.rejects(session.provider(devices.card), { code: "REVOKED" });
      provider.pool.free(held);
      await gone;
    });
  });

  it("because its controller was reset ends a copy between two others", async () => {
    const provider = await session.provider(`${devices.nvmeCmb}/cmb`);
    const { run, moving } = endless(planThrough(provider, { bs: PAGE }));
    const ended = assert.rejects(run, {
      code: "REVOKED",
      device: devices.nvmeCmb,
      message: new RegExp(`^${provider.name} was revoked: .*it was reset`),
    });
    await moving;
    (await session.controller(devices.nvmeCmb)).device.reset();
    await ended;
    await assertCopies(planThrough(await session.provider(devices.card)), 23);
    await assert.rejects(session.provider(`${devices.nvmeCmb}/cmb`), { code: "CONTROLLER_RESET" });
  });

  it("because its device answers no more ends a copy, too", async () => {
    let isGone = false;
    const space = session.addressSpace;
    const openDevice = space.openDevice.bind(space);
    space.openDevice = (address) => {
      const device = openDevice(address);
      if (address !== devices.card) return device;
      // What is left of a device that nobody answers for: VFIO's own copy of its ids.
      const absent = {
        read16: (offset: number) => device.region(CONFIG_REGION).read16(offset),
        read32: () => 0xffff_ffff,
      } as unknown as NativeRegion;
      return {
        address: device.address,
        region: (index: number) =>
          isGone && index === CONFIG_REGION ? absent : device.region(index),
        onError: () => undefined,
        onRequest: () => undefined,
        close: () => device.close(),
      } as unknown as NativeDevice;
    };
    const provider = await session.provider(`${devices.card}/bar2@0+1m`);
    const idle = await session.provider(`${devices.card}/bar2@1m+1m`);
    const { run, moving } = endless(planThrough(provider));
    const ended = assert.rejects(run, {
      code: "REVOKED",
      message: `${provider.name} was revoked: ${devices.card} does not answer any more`,
    });
    await moving;
    isGone = true;
    await ended;
    assert.throws(() => idle.assertUsable(), { code: "REVOKED", device: devices.card });
  });

  it("and held to the end does not keep its session from closing", async () => {
    const provider = await session.provider(devices.card);
    const held = provider.pool.alloc(PAGE);
    const gone = provider.revoke(WHY);
    await session.close();
    await gone;
    provider.pool.free(held);
  });
});

describe("a session that ends", () => {
  it("reports the vectors that nobody unmapped, once, and none that copies have made", async () => {
    await setUp();
    const warnings: (Error & { code?: string })[] = [];
    const collect = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on("warning", collect);
    try {
      const provider = await session.provider(devices.card);
      await assertCopies(planThrough(provider), 31);
      await assertCopies(planThrough(provider, { path: "cpu" }), 32);
      await session.close();
      await new Promise(setImmediate); // warnings are emitted on the next tick
      assert.deepEqual(warnings, []);

      await setUp();
      const { controller } = await namespaceOf(session, devices.nvme1);
      const buffer = session.addressSpace.allocate(PAGE);
      new ScatterList(session.addressSpace).addHost(buffer).map(controller);
      await session.close();
      await new Promise(setImmediate);
      assert.deepEqual(
        warnings.map(({ code, message }) => [code, message]),
        [["P2PMEM_DMA_LEAK", `DMA vectors were never unmapped: 1 for ${controller.address}`]],
      );
    } finally {
      process.off("warning", collect);
      await session.close();
    }
  });
});
