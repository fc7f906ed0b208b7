/** Queue pairs of every kind on both machines, driven as a reactor does. */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import type { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair, type QueuePairHandle } from "#lib/nvme/queues/queue-pair.js";
import { IoOpcode, PAGE } from "#lib/nvme/spec.js";
import type { Session } from "#lib/session.js";
import { devicesOf, isLab, openSession } from "./machine.js";
import type { Devices } from "./machine.js";

describe("an I/O queue pair", () => {
  let session: Session;
  let devices: Devices;
  let controller: NvmeController;

  beforeEach(async () => {
    session = await openSession();
    devices = devicesOf(session);
    controller = await session.controller(devices.nvmeCmb);
  });

  afterEach(() => session.close());

  /** Runs so many flushes, as many at once as fit. */
  async function run(handle: QueuePairHandle, commands: number): Promise<void> {
    const queue = openQueuePair(handle);
    const seen = new Uint8Array(commands);
    let submitted = 0;
    for (let completed = 0; completed < commands;) {
      for (; submitted < commands && queue.free > 0; submitted++)
        queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, submitted);
      queue.ring();
      const before = completed;
      for (let cookie = queue.next(); cookie >= 0; cookie = queue.next()) {
        assert.deepEqual([queue.status, seen[cookie]], [0, 0]);
        seen[cookie] = 1;
        completed++;
      }
      assert.equal(queue.fault, null);
      if (completed > before) queue.acknowledge();
      else await turn();
    }
    queue.close();
  }

  it("goes round many times at every depth, the least, the largest and those in between", async () => {
    const { maxQueueDepth } = controller;
    for (const depth of [2, 3, 64, 1000, maxQueueDepth, 2 * maxQueueDepth]) {
      const handle = await controller.createQueuePair({ depth });
      const power = 2 ** Math.ceil(Math.log2(depth));
      assert.equal(handle.depth, Math.min(power, maxQueueDepth));
      await run(handle, Math.max(100, 2 * handle.depth + 3));
      await controller.deleteQueuePair(handle.qid);
    }
  });

  it("is one of as many as the controller grants, and its identifier is used again", async () => {
    const handles: QueuePairHandle[] = [];
    await assert.rejects(
      async () => {
        for (;;) handles.push(await controller.createQueuePair({ depth: 2 }));
      },
      { code: "NO_QUEUE" },
    );
    assert.ok(handles.length >= 64, `${handles.length}`);
    await Promise.all(handles.map((handle) => run(handle, 10)));
    for (const { qid } of handles.splice(0, 10)) await controller.deleteQueuePair(qid);
    const again = await controller.createQueuePair({ depth: 8 });
    assert.equal(again.qid, 1);
    await run(again, 30);
  });

  it("has shadow doorbells where the controller offers them", async () => {
    const { hasShadowDoorbells } = controller.identity;
    assert.equal(hasShadowDoorbells, isLab, "QEMU does, the built-in machine does not");
    const handle = await controller.createQueuePair({ depth: 16 });
    assert.equal(handle.shadow !== null, hasShadowDoorbells);
  });

  it("may have its submission queue in the controller's memory buffer", async () => {
    const provider = await session.provider(`${devices.nvmeCmb}/cmb`);
    const size = controller.submissionQueueBytes(10);
    assert.equal(size, 16 * 64);
    const room = provider.pool.alloc(PAGE);
    const at = { memoryId: provider.memory.id, offset: room.offset };
    await assert.rejects(
      controller.createQueuePair({
        depth: 10,
        submissionMemory: { ...at, iova: provider.iova + room.offset + 64 },
      }),
      { code: "UNALIGNED" },
    );
    const handle = await controller.createQueuePair({
      depth: 10,
      submissionMemory: { ...at, iova: provider.iova + room.offset },
    });
    assert.notEqual(handle.sqMemoryId, handle.cqMemoryId);
    await run(handle, 200);
    await controller.deleteQueuePair(handle.qid);
    provider.pool.free(room);
  });
});
