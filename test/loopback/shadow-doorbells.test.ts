/** The driver with shadow doorbells, on a controller of which it can be seen what reaches it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair, type QueuePairHandle } from "#lib/nvme/queues/queue-pair.js";
import { IoOpcode, Register } from "#lib/nvme/spec.js";
import { Session } from "#lib/session.js";
import { load, namespaceOf, pattern, store } from "../device/machine.js";

const [WITH, WIDE, WITHOUT] = ["0000:01:00.0", "0000:02:00.0", "0000:03:00.0"];
const MACHINE = `
root_ports:
  - { device: nvme, shadow_doorbells: true }
  - { device: nvme, shadow_doorbells: true, doorbell_stride: 6 }
  - { device: nvme }
`;

describe("the driver's shadow doorbells", () => {
  let directory: string;
  let session: Session;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-shadow-"));
    writeFileSync(join(directory, "machine.yaml"), MACHINE);
    session = await Session.open({ machine: join(directory, "machine.yaml") });
  });

  afterEach(async () => {
    await session.close();
    rmSync(directory, { recursive: true, force: true });
  });

  /** So many commands, one at a time. */
  function run(handle: QueuePairHandle, commands: number): void {
    const queue = openQueuePair(handle);
    for (let n = 0; n < commands; n++) {
      queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, n);
      queue.ring();
      let cookie = -1;
      while (cookie < 0 && queue.fault === null) cookie = queue.next();
      assert.deepEqual([cookie, queue.status], [n, 0]);
      queue.acknowledge();
    }
    queue.close();
  }

  const register = (controller: NvmeController, offset: number): number =>
    controller.device.region(0).read32(Register.SQ0TDBL + offset);

  it("bound the queue pairs, and what is said to be left of them", async () => {
    const controller = await session.controller(WIDE);
    const free = controller.freeQueuePairs;
    assert.equal(free, 6); // 4096 / 512 pairs, without the admin queue and that of awaited calls
    for (let n = 0; n <= free; n++) await controller.createQueuePair({ depth: 2 });
    assert.equal(controller.freeQueuePairs, 0);
    await assert.rejects(controller.createQueuePair({ depth: 2 }), { code: "NO_QUEUE" });
  });

  it("spare the controller the writes that it did not ask for", async () => {
    // A completion queue's head is asked for only when the queue is full, which it never is here. So
    // the register is written when the head passes 0, as EventIdx is, and at no other value.
    const controller = await session.controller(WITH);
    const handle = await controller.createQueuePair({ depth: 8 });
    assert.notEqual(handle.shadow, null);
    run(handle, 3 * 8 + 5);
    assert.equal(register(controller, handle.cqDoorbellOffset), 1);

    const plain = await session.controller(WITHOUT);
    const other = await plain.createQueuePair({ depth: 8 });
    assert.equal(other.shadow, null);
    run(other, 3 * 8 + 5);
    assert.equal(register(plain, other.cqDoorbellOffset), 5);
  });

  it("start from 0 for a queue that takes the place of another", async () => {
    const controller = await session.controller(WITH);
    for (let n = 0; n < 5; n++) {
      const handle = await controller.createQueuePair({ depth: 8 });
      assert.equal(handle.qid, 1);
      run(handle, 8 * n + 3);
      await controller.deleteQueuePair(handle.qid);
    }
  });

  for (const device of [WITH, WIDE])
    it(`carry data of awaited calls, many at a time, on ${device}`, async () => {
      const namespace = await namespaceOf(session, device);
      const parts = Array.from({ length: 200 }, (_, n) => pattern(1024, n));
      await Promise.all(parts.map((part, n) => store(session, namespace, 1024 * n, part)));
      const back = await Promise.all(parts.map((_, n) => load(session, namespace, 1024 * n, 1024)));
      assert.deepEqual(back, parts);
    });

  it("bound the queue pairs to those that have a place in them", async () => {
    const controller = await session.controller(WIDE);
    const handles: QueuePairHandle[] = [];
    await assert.rejects(
      async () => {
        for (;;) handles.push(await controller.createQueuePair({ depth: 2 }));
      },
      { code: "NO_QUEUE" },
    );
    // 256 bytes for each doorbell: eight pairs to a page, of which one is the admin queue's.
    assert.equal(handles.length, 7);
    assert.ok(handles.every(({ shadow }) => shadow!.cqOffset < 4096));
  });
});
