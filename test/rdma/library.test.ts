/** lib/rdma on both machines: devices, requests of each kind, what is refused, other threads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { Access, CompletionOpcode, Opcode, SendFlag } from "#lib/rdma/spec.js";
import { STATUS_FLUSHED, STATUS_SUCCESS, statusError } from "#lib/rdma/status.js";
import type { Session } from "#lib/session.js";
import { pattern } from "../device/machine.js";
import { ALL, Link, openSession } from "./link.js";
import { isLab } from "./machine.js";

const LIBRARY = new URL("../../dist/index.js", import.meta.url).href;
const { SIGNALED } = SendFlag;

describe("the RDMA library", () => {
  let session: Session;
  let link: Link;

  before(async () => {
    session = await openSession();
  });
  after(async () => {
    await session.close();
  });
  beforeEach(() => {
    link = new Link(session.rdmaDevice());
  });
  afterEach(() => {
    link.close();
  });

  it("has the machine's devices, and opens each once", () => {
    const [info] = session.rdmaDevices();
    const address = isLab ? null : "0000:06:00.0";
    assert.deepEqual(info, { name: isLab ? "rxe0" : "rnic0", address });
    assert.equal(session.rdmaDevice(), session.rdmaDevice(info.name));
    assert.equal(link.device.fn?.address ?? null, address);
    assert.throws(() => session.rdmaDevice("mlx5_7"), { code: "UNKNOWN_DEVICE" });
  });

  it("chooses a path by which a connection works, and refuses what there is not", () => {
    const { device, paths } = link;
    assert.equal(paths[0].gid.length, 16);
    assert.equal(paths[0].linkLayer, "ethernet");
    assert.throws(() => device.choosePath({ port: 9 }), { code: "NO_PORT" });
    assert.throws(() => device.choosePath({ gidIndex: 200 }), { code: "NO_GID" });
    for (const { state } of link.pairs) assert.equal(state, "ready-to-send");
  });

  it("sends, writes, with an immediate and inline, reads, gathers and scatters", async () => {
    const { pairs } = link;
    const [from, to] = [link.host(8192), link.host(8192)];
    from.bytes.set(pattern(8192, 1));
    const { region: source } = from;
    const { region: target } = to;
    pairs[1].receives.write(1, target.address, 100, target.lkey);
    pairs[1].receives.scatter(target.address + 4096, 4096, target.lkey);
    pairs[1].receives.write(2, 0, 0, 0);
    pairs[1].receives.write(3, target.address + 1000, 64, target.lkey);
    pairs[1].flush();
    const { sends } = pairs[0];
    sends.write(4, Opcode.SEND, SIGNALED, source.address + 10, 50, source.lkey);
    sends.gather(source.address + 4000, 60, source.lkey);
    const { WRITE_WITH_IMMEDIATE, SEND_WITH_IMMEDIATE } = Opcode;
    const remote = target.address + 2048;
    sends.write(
      5,
      WRITE_WITH_IMMEDIATE,
      0,
      source.address,
      512,
      source.lkey,
      remote,
      target.rkey,
      2 ** 32 - 2,
    );
    sends.writeInline(
      6,
      SEND_WITH_IMMEDIATE,
      SIGNALED,
      source.inlineAddress(6000, 64),
      64,
      0,
      0,
      7,
    );
    pairs[0].flush();
    from.bytes.fill(0, 6000, 6064);
    const received = await link.take(1, 3);
    assert.deepEqual(
      received.map(({ tag, status, immediate, isReceive }) => [tag, status, immediate, isReceive]),
      [
        [1, STATUS_SUCCESS, null, true],
        [2, STATUS_SUCCESS, 2 ** 32 - 2, true],
        [3, STATUS_SUCCESS, 7, true],
      ],
    );
    assert.deepEqual(
      received.map(({ bytes, opcode }) => [bytes, opcode]),
      [
        [110, CompletionOpcode.RECEIVE],
        [512, CompletionOpcode.RECEIVE_WRITE_WITH_IMMEDIATE],
        [64, CompletionOpcode.RECEIVE],
      ],
    );
    const sent = await link.take(0, 2);
    assert.deepEqual(
      sent.map(({ tag, isReceive }) => [tag, isReceive]),
      [
        [4, false],
        [6, false],
      ],
    );
    assert.equal(sends.room, sends.entries);
    const data = pattern(8192, 1);
    const message = [...data.subarray(10, 60), ...data.subarray(4000, 4060)];
    assert.deepEqual([...to.bytes.subarray(0, 100)], message.slice(0, 100));
    assert.deepEqual([...to.bytes.subarray(4096, 4106)], message.slice(100));
    assert.deepEqual([...to.bytes.subarray(2048, 2560)], [...data.subarray(0, 512)]);
    assert.deepEqual([...to.bytes.subarray(1000, 1064)], [...data.subarray(6000, 6064)]);
    sends.write(8, Opcode.READ, SIGNALED, source.address, 512, source.lkey, remote, target.rkey);
    pairs[0].flush();
    assert.deepEqual(await link.take(0, 1), [
      {
        ...{ tag: 8, status: STATUS_SUCCESS, opcode: CompletionOpcode.READ, bytes: 512 },
        ...{ immediate: null, isReceive: false },
      },
    ]);
    assert.deepEqual([...from.bytes.subarray(0, 512)], [...data.subarray(0, 512)]);
  });

  it("goes round its rings, of a size that is no power of two, without losing a request", async () => {
    const { sends } = link.pairs[0];
    const [from, to] = [link.host(4096), link.host(4096)];
    const words = new Uint32Array(from.memory.buffer);
    let [posted, done] = [0, 0];
    while (done < 500) {
      for (; sends.room > 0 && posted < 500; posted++) {
        const slot = posted % sends.entries;
        words[slot] = posted;
        const at = 4 * slot;
        const { address, lkey } = from.region;
        const remote = to.region.address + at;
        sends.write(posted, Opcode.WRITE, SIGNALED, address + at, 4, lkey, remote, to.region.rkey);
      }
      link.pairs[0].flush();
      for (const { tag, status } of await link.take(0, 1)) {
        assert.equal(status, STATUS_SUCCESS);
        assert.equal(tag, done++);
      }
    }
    assert.equal(sends.room, sends.entries);
    const slots = sends.entries;
    const found = new Uint32Array(to.memory.buffer).slice(0, slots);
    assert.deepEqual(
      [...found],
      Array.from({ length: slots }, (_, i) => 500 - slots + i),
    );
  });

  it("says in words what failed, and flushes the rest, whose room comes back", async () => {
    const { pairs } = link;
    const [from, to] = [link.host(4096), link.host(4096, Access.LOCAL_WRITE)];
    for (let tag = 0; tag < 3; tag++) link.write(from.region, to.region, 64, 0, tag);
    const [first, ...others] = await link.take(0, 3);
    const error = statusError(first!.status, "a write of 64 bytes", link.device.name);
    assert.match(error.message, /^a write of 64 bytes failed: Remote Access Error/);
    assert.equal(first!.tag, 0);
    for (const { status } of others) assert.equal(status, STATUS_FLUSHED);
    assert.equal(pairs[0].state, "error");
    assert.equal(pairs[0].sends.room, pairs[0].sends.entries);
    pairs[0].sends.write(0, Opcode.SEND, 0, 0, 1, 0);
    pairs[0].flush();
    assert.equal((await link.take(0, 1))[0]!.status, STATUS_FLUSHED);
  });

  it("makes keys mean nothing once their region is closed", async () => {
    const [from, to] = [link.host(4096), link.host(4096)];
    to.region.close();
    assert.throws(
      () => {
        to.region.assertUsable();
      },
      { code: "GONE" },
    );
    assert.notEqual(await link.statusOf(from.region, to.region, 64), STATUS_SUCCESS);
    assert.ok(to.bytes.every((byte) => byte === 0));
  });

  it("refuses regions before the kernel would, and says why", () => {
    const memory = addon().allocatePinned(4096, false);
    const register = (offset: number, length: number, access: number) => () =>
      link.domain.registerMemory(memory, offset, length, access);
    assert.throws(register(0, 4096, Access.REMOTE_WRITE), { code: "BAD_ARGUMENT" });
    assert.throws(register(0, 0, ALL), { code: "BAD_RANGE" });
    for (const offset of [4096, -1, 0.5, NaN])
      assert.throws(register(offset, 1, ALL), { code: "BAD_RANGE" });
    assert.throws(() => link.domain.registerDmabuf(0, -1, 1, ALL), { code: "BAD_RANGE" });
    assert.throws(() => link.domain.registerDmabuf(0, 0, 4096, ALL | Access.ON_DEMAND), {
      code: "BAD_ARGUMENT",
    });
    assert.throws(() => link.domain.registerDmabuf(0, 0, 4096, ALL), {
      code: isLab ? "NO_DMABUF" : "BAD_DMABUF",
    });
    const most = Number(link.device.attributes.maxRegionBytes);
    assert.throws(register(0, 2 * most, ALL), { code: /REGION_TOO_LARGE|BAD_RANGE/ });
    memory.close();
  });

  it("registers a provider's memory, but of a NIC that is no PCI function, which says so", async () => {
    const card = await session.provider(isLab ? process.env.CARD! : "0000:05:00.0");
    const list = card.allocScatterlist(8192);
    if (isLab)
      assert.throws(() => link.domain.register(list, ALL), {
        ...{ code: "NO_DMABUF", device: "rxe0", hint: /stage in host memory/ },
      });
    else {
      const region = link.domain.register(list, ALL);
      assert.deepEqual([region.target, region.byteLength], ["peer", 8192]);
      assert.equal(await link.statusOf(region, region, 4096), STATUS_SUCCESS);
      region.close();
    }
    card.freeScatterlist(list);
  });

  it("is used by another thread, which opens what this one has made", async () => {
    const [from, to] = [link.host(4096), link.host(4096)];
    from.bytes.set(pattern(4096, 3));
    const code = `
      import { workerData as work, parentPort } from "node:worker_threads";
      const { CompletionQueue, RdmaQueuePair } = await import(${JSON.stringify(LIBRARY)});
      const queue = CompletionQueue.open(work.queue);
      const pair = RdmaQueuePair.open(work.pair, queue);
      const tags = [];
      for (let n = 0; n < 64; n++) {
        const at = 64 * n;
        pair.sends.write(n, 0, 2, work.from.address + at, 64, work.from.lkey, work.to.address + at, work.to.rkey);
        pair.flush();
        while (queue.poll() === 0);
        tags.push([queue.tag(0), queue.status(0), pair.sends.room]);
      }
      pair.close();
      queue.close();
      parentPort.postMessage(tags);
    `;
    const [piece] = from.region.pieces;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
      workerData: {
        ...{ queue: link.queues[0].handle, pair: link.pairs[0].handle },
        ...{ from: piece, to: to.region.pieces[0] },
      },
    });
    const ended = once(worker, "exit");
    const [tags] = (await once(worker, "message")) as [number[][]];
    const { entries } = link.pairs[0].sends;
    assert.deepEqual(
      tags,
      Array.from({ length: 64 }, (_, n) => [n, STATUS_SUCCESS, entries]),
    );
    assert.deepEqual(to.bytes, from.bytes);
    await ended;
    assert.equal(link.pairs[0].state, "ready-to-send");
  });

  it("lets go of all that a session has opened", async () => {
    const own = await openSession();
    const other = new Link(own.rdmaDevice());
    const { region } = other.host(4096);
    await own.close();
    assert.throws(() => own.rdmaDevice(), { code: "CLOSED" });
    assert.throws(() => other.pairs[0].state, { code: "CLOSED" });
    assert.throws(
      () => {
        region.assertUsable();
      },
      { code: "GONE" },
    );
    other.close();
  });
});
