import assert from "node:assert/strict";
import type { DmaBuffer } from "#lib/dma/dma-buffer.js";
import { P2pError } from "#lib/errors.js";
import { AdminQueue } from "#lib/nvme/queues/admin-queue.js";
import { DataPointers } from "#lib/nvme/descriptors/data-pointer.js";
import { AsyncQueue } from "#lib/nvme/queues/async-queue.js";
import { IoQueue, type IoRequest } from "#lib/nvme/queues/io-queue.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import type { Perishable } from "#lib/sgl/memory.js";
import { DEVICE, FakeController } from "../fake-controller.js";
import { rawVector } from "../../../support/raw-vector.js";

const PATIENT = 60_000; // milliseconds
const BLOCK = 512;
const MAX_TRANSFER = 4096;
const IOVA = 0x10_0000;

const nothing = (): void => undefined;
const gone = new P2pError("DEVICE_GONE", "its registers read all ones");

interface Overdue {
  commandId: number;
  isOver: () => boolean;
}

function makeQueue(depth: number, { timeout = PATIENT, isLost = false } = {}) {
  const controller = new FakeController(depth);
  const overdue: Overdue[] = [];
  const faults: P2pError[] = [];
  const queue = new AsyncQueue(controller.open(), timeout, {
    check: () => {
      if (isLost) queue.fail(gone);
      return !isLost;
    },
    overdue: (_queue, commandId, isOver) => overdue.push({ commandId, isOver }),
    distrust: (_queue, fault) => faults.push(fault),
  });
  return { controller, queue, overdue, faults };
}

function makeIoQueue(depth: number, options: Parameters<typeof makeQueue>[1] = {}) {
  const made = makeQueue(depth, options);
  const pointers = new DataPointers(DEVICE, { alignment: "none", hasBitBucket: false });
  const lists = { buffer: new ArrayBuffer(1 << 16), iova: 0x8000_0000, close: nothing };
  const io = new IoQueue(made.queue, DEVICE, MAX_TRANSFER, pointers, lists as unknown as DmaBuffer);
  return { ...made, io };
}

const read = (lba: number, blocks: number): IoRequest => ({
  name: "Read",
  opcode: 2,
  nsid: 1,
  lba,
  blocks,
  blockSize: BLOCK,
  data: rawVector(DEVICE, [{ address: IOVA, length: blocks * BLOCK }]),
});

/** Memory that can go. */
class FakeMemory implements Perishable {
  isGone = false;
  pins = 0;

  assertUsable(): void {
    if (this.isGone) throw new P2pError("GONE", "freed");
  }

  pin(): void {
    this.pins++;
  }

  unpin(): void {
    this.pins--;
  }
}

function vectorOf(memory: Perishable, length: number): DmaVector {
  return rawVector(DEVICE, [{ address: IOVA, length }], null, [memory]);
}

/** LBA and number of blocks of each command that was submitted since the last call, with its id. */
function fetch(controller: FakeController): { id: number; lba: number; blocks: number }[] {
  const from = controller.sqHead;
  return controller.fetch().map((id, i) => {
    const entry = ((from + i) % controller.depth) * 16;
    return { id, lba: controller.sq[entry + 10]!, blocks: controller.sq[entry + 12]! + 1 };
  });
}

/** Completes whatever is submitted, turn by turn, until the promise has settled. */
async function serve<T>(controller: FakeController, promise: Promise<T>): Promise<T> {
  let settled = false;
  const watched = promise.finally(() => (settled = true));
  const turn = (): void => {
    for (const { id } of fetch(controller)) controller.complete(id);
    if (!settled) setImmediate(turn);
  };
  turn();
  return watched;
}

function turn(): Promise<void> {
  return new Promise(setImmediate);
}

describe("The admin queue", () => {
  it("runs several commands at once and gives each its own result", async () => {
    const { controller, queue } = makeQueue(8);
    const admin = new AdminQueue(queue, DEVICE);
    const first = admin.execute({ opcode: 6, nsid: 1, prp1: 0x12_3456_7000, cdw10: 2 });
    const second = admin.execute({ opcode: 9, cdw10: 7, cdw11: 0xffff_ffff });
    assert.deepEqual(
      [...controller.sq.subarray(1, 16)],
      [1, 0, 0, 0, 0, 0x3456_7000, 0x12, 0, 0, 2, 0, 0, 0, 0, 0],
    );
    assert.equal(controller.sq[27], -1);
    const [a, b] = controller.fetch();
    controller.complete(b!, { result: 22 });
    controller.complete(a!, { result: 11 });
    assert.deepEqual(await Promise.all([first, second]), [11, 22]);
    assert.equal(controller.cqHead, 2);
    assert.ok(queue.isIdle);
  });

  it("rejects with the status that the controller gave", async () => {
    const { controller, queue } = makeQueue(8);
    const promise = new AdminQueue(queue, DEVICE).execute({ opcode: 1 });
    controller.complete(controller.fetch()[0]!, { status: 0x4101 });
    await assert.rejects(promise, {
      code: "NVME_STATUS",
      message: "admin command CREATE_IO_SQ failed: Invalid Queue Identifier",
      statusCodeType: 1,
      statusCode: 1,
      doNotRetry: true,
    });
  });
});

describe("The queue behind awaited I/O", () => {
  it("splits by the largest transfer, each part with its LBA and its place in the data", async () => {
    const { controller, io } = makeIoQueue(8);
    const promise = io.run(read(100, 20));
    const parts = fetch(controller);
    assert.deepEqual(
      parts.map(({ lba, blocks }) => [lba, blocks]),
      [
        [100, 8],
        [108, 8],
        [116, 4],
      ],
    );
    assert.deepEqual(
      [0, 1, 2].map((i) => controller.sq[16 * i + 6]),
      [IOVA, IOVA + 4096, IOVA + 8192],
    );
    for (const { id } of parts.reverse()) controller.complete(id);
    await promise;
  });

  it("splits what has no data by its own limit, each part with its flags", async () => {
    const { controller, io } = makeIoQueue(8);
    const zeroes = { name: "Write Zeroes", opcode: 8, nsid: 2, blockSize: BLOCK, data: null };
    const flags = (1 << 30) | (1 << 25);
    const done = io.run({ ...zeroes, lba: 2 ** 32 - 4, blocks: 10, maxBlocks: 4, flags });
    const entries = [0, 1, 2].map((i) => [...controller.sq.subarray(16 * i, 16 * i + 13)]);
    assert.deepEqual(
      entries.map((dwords) => [dwords[0]! & 0xff, dwords[1], ...dwords.slice(10)]),
      [
        [8, 2, -4, 0, flags | 3],
        [8, 2, 0, 1, flags | 3],
        [8, 2, 4, 1, flags | 1],
      ],
    );
    await serve(controller, done);
  });

  it("lets requests wait that find the queue full, and serves them in turn", async () => {
    const { controller, io } = makeIoQueue(4);
    const order: number[] = [];
    const all = Array.from({ length: 20 }, (_, n) =>
      io.run(read(100 * n, 1 + n)).then(() => order.push(n)),
    );
    assert.equal(fetch(controller).length, 3);
    controller.sqHead = 0; // and once more, to complete them
    await serve(controller, Promise.all(all));
    assert.deepEqual(
      order,
      [...order].sort((a, b) => a - b),
    );
    assert.equal(order.length, 20);
  });

  it("after an error submits no more of that request, and goes on with the next", async () => {
    const { controller, io } = makeIoQueue(4);
    const bad = io.run(read(0, 80));
    const good = io.run(read(1000, 1));
    const [first, ...others] = fetch(controller);
    controller.complete(first!.id, { status: 0x80 });
    for (const { id } of others) controller.complete(id);
    await assert.rejects(bad, {
      code: "NVME_STATUS",
      message: "Read of blocks 0 to 79 of namespace 1 failed: LBA Out of Range",
      device: DEVICE,
    });
    const rest = fetch(controller);
    assert.deepEqual(
      rest.map(({ lba }) => lba),
      [1000],
    );
    controller.complete(rest[0]!.id);
    await good;
  });

  it("submits no more once the memory is let go, and keeps it until what is in flight is done", async () => {
    const { controller, io } = makeIoQueue(4);
    const memory = new FakeMemory();
    const promise = io.run({ ...read(0, 48), data: vectorOf(memory, 48 * BLOCK) });
    const waiting = io.run(read(1000, 1));
    const [first, ...others] = fetch(controller);
    assert.equal(memory.pins, 1);
    memory.isGone = true;
    controller.complete(first!.id);
    await turn();
    assert.equal(memory.pins, 1, "two commands are in flight");
    const [next] = fetch(controller);
    assert.equal(next!.lba, 1000);
    for (const { id } of others) controller.complete(id);
    await assert.rejects(promise, { code: "GONE" });
    assert.equal(memory.pins, 0);
    controller.complete(next!.id);
    await waiting;
  });

  it("ends a request whose memory goes before its first command, with none", async () => {
    const { controller, io } = makeIoQueue(2);
    const memory = new FakeMemory();
    const first = io.run(read(0, 1));
    const second = io.run({ ...read(8, 8), data: vectorOf(memory, 8 * BLOCK) });
    memory.isGone = true;
    await serve(controller, first);
    await assert.rejects(second, { code: "GONE" });
    assert.deepEqual([memory.pins, fetch(controller)], [0, []]);
  });

  it("lets go of the memory once when everything fails", async () => {
    const { io, queue } = makeIoQueue(4);
    const memory = new FakeMemory();
    const promise = io.run({ ...read(0, 16), data: vectorOf(memory, 16 * BLOCK) });
    assert.equal(memory.pins, 1);
    queue.fail(gone);
    assert.equal(memory.pins, 0);
    await assert.rejects(promise, { code: "DEVICE_GONE" });
  });

  it("rejects what is in flight and what waits, once each, and takes no more, when the controller is gone", async () => {
    const { io } = makeIoQueue(4, { isLost: true });
    const settled: string[] = [];
    const all = Array.from({ length: 6 }, (_, n) =>
      io.run(read(0, 16)).then(
        () => settled.push("resolved"),
        (error: unknown) => settled.push(`${n} ${(error as P2pError).code}`),
      ),
    );
    await Promise.all(all);
    assert.deepEqual(
      settled.sort(),
      all.map((_, n) => `${n} DEVICE_GONE`),
    );
    await assert.rejects(io.run(read(0, 1)), { code: "DEVICE_GONE" });
  });

  it("rejects all that is outstanding when it is told to fail, and keeps the first reason", async () => {
    const { io, queue } = makeIoQueue(2);
    const all = [io.run(read(0, 16)), io.run(read(0, 1))];
    queue.fail(new P2pError("CLOSED", "closed"));
    queue.fail(gone);
    for (const promise of [...all, io.run(read(0, 1))])
      await assert.rejects(promise, { code: "CLOSED" });
  });

  it("reports a completion that cannot be trusted, and looks at no more of them", async () => {
    const { controller, io, queue, faults } = makeIoQueue(4);
    const promise = io.run(read(0, 1));
    const { id } = fetch(controller)[0]!;
    controller.complete(0x7fff);
    controller.complete(id);
    while (faults.length === 0) await turn();
    assert.equal(faults[0]!.code, "BAD_COMPLETION");
    queue.suspend(faults[0]!);
    queue.end("its queue was deleted", faults[0]!);
    await assert.rejects(promise, { code: "BAD_COMPLETION" });
  });
});

describe("A command that takes too long", () => {
  const ABORTED = 0x07;
  const DELETED = 0x08;
  const ended = new P2pError("ABORTED", "its queue is gone");

  /** One command that is overdue, and one that came later and is not. */
  async function stuck() {
    const made = makeIoQueue(4, { timeout: 20 });
    const late = made.io.run(read(0, 1));
    const { id } = fetch(made.controller)[0]!;
    while (made.overdue.length === 0) await turn();
    const other = made.io.run(read(8, 1));
    const next = fetch(made.controller)[0]!;
    return { ...made, late, id, other, otherId: next.id };
  }

  it("is reported once, by its command identifier, while others come and go", async () => {
    const { controller, io, overdue, late, id, other, otherId } = await stuck();
    assert.deepEqual(
      overdue.map(({ commandId }) => commandId),
      [id],
    );
    assert.equal(overdue[0]!.isOver(), false);
    controller.complete(otherId);
    await other;
    for (let n = 0; n < 10; n++) await serve(controller, io.run(read(n, 1)));
    assert.equal(overdue.length, 1);
    controller.complete(id);
    await late; // a success is one, however late
    assert.equal(overdue[0]!.isOver(), true);
  });

  it("is over though the same request has its slot and its place again", async () => {
    const { controller, io, overdue } = makeIoQueue(2, { timeout: 20 });
    const promise = io.run(read(0, 16)); // two commands, of which the queue holds one at a time
    const { id } = fetch(controller)[0]!;
    while (overdue.length === 0) await turn();
    controller.complete(id);
    while (controller.sqHead === controller.sqTail) await turn();
    assert.equal(overdue[0]!.isOver(), true);
    await serve(controller, promise);
  });

  it("rings no doorbell as its queue ends: it belongs to nobody any more", async () => {
    const { controller, queue, late, id, other } = await stuck();
    const before = controller.cqHead;
    queue.suspend(ended);
    controller.complete(id);
    queue.end("its queue was deleted", ended);
    await late;
    await assert.rejects(other, ended);
    assert.equal(controller.cqHead, before);
  });

  it("fails with TIMEOUT once it was aborted", async () => {
    const { controller, late, id, other, otherId } = await stuck();
    controller.complete(id, { status: ABORTED });
    controller.complete(otherId, { status: ABORTED });
    await assert.rejects(late, {
      code: "TIMEOUT",
      message: "Read of blocks 0 to 0 of namespace 1 did not complete in 0.02 s; it was aborted",
      device: DEVICE,
    });
    await assert.rejects(other, { code: "NVME_STATUS" }, "somebody else aborted that one");
  });

  it("fails with TIMEOUT once its queue was deleted, and others there as they are told", async () => {
    const { controller, queue, late, id, other, otherId } = await stuck();
    queue.suspend(ended);
    controller.complete(id, { status: DELETED });
    controller.complete(otherId, { status: DELETED });
    queue.end("its queue was deleted", ended);
    await assert.rejects(late, { code: "TIMEOUT", message: /; its queue was deleted$/ });
    await assert.rejects(other, ended);
  });

  it("keeps the result that it had when its queue was deleted", async () => {
    const { controller, queue, late, id, other, otherId } = await stuck();
    queue.suspend(ended);
    controller.complete(id);
    controller.complete(otherId, { status: 0x80 });
    queue.end("its queue was deleted", ended);
    await late;
    await assert.rejects(other, { code: "NVME_STATUS" });
  });

  it("does not keep requests from waiting for a new queue, where they go on from the start", async () => {
    const { controller, io, queue, late, other } = await stuck();
    queue.suspend(ended);
    const waiting = io.run(read(16, 1));
    await turn();
    assert.deepEqual(fetch(controller), []);
    queue.end("its queue was deleted", ended);
    await assert.rejects(late, { code: "TIMEOUT" });
    await assert.rejects(other, ended);
    controller.recreate();
    queue.resume();
    assert.deepEqual(fetch(controller), [{ id: 0, lba: 16, blocks: 1 }]);
    controller.complete(0);
    await waiting;
  });

  it("of several of one request ends it when the last has ended", async () => {
    const { controller, io, overdue } = makeIoQueue(8, { timeout: 20 });
    const memory = new FakeMemory();
    const promise = io.run({ ...read(0, 16), data: vectorOf(memory, 16 * BLOCK) });
    const [first, second] = fetch(controller);
    while (overdue.length < 2) await turn();
    controller.complete(first!.id, { status: ABORTED });
    for (let n = 0; n < 5; n++) await turn();
    assert.equal(memory.pins, 1, "the controller still reaches it");
    controller.complete(second!.id, { status: ABORTED });
    await assert.rejects(promise, { code: "TIMEOUT" });
    assert.equal(memory.pins, 0);
  });

  it("may be one that takes for ever", async () => {
    const { controller, queue, overdue } = makeQueue(4, { timeout: 1 });
    const waiter = { what: "event", completed: nothing, failed: nothing };
    const slot = queue.claim(waiter, Infinity);
    queue.queue.submitEntry(new Int32Array(16), slot);
    queue.start();
    const began = performance.now();
    while (performance.now() - began < 250) await turn();
    assert.deepEqual(overdue, []);
    controller.complete(controller.fetch()[0]!);
    while (!queue.isIdle) await turn();
  });
});
