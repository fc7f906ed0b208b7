import assert from "node:assert/strict";
import { P2pError } from "#lib/errors.js";
import { AdminQueue } from "#lib/nvme/queues/admin-queue.js";
import { AsyncQueue } from "#lib/nvme/queues/async-queue.js";
import { DEVICE, FakeController } from "../fake-controller.js";

const IDENTIFY = 6;
const ABORT = 8;
const reset = new P2pError("CONTROLLER_RESET", "it was reset");

describe("The admin queue, full", () => {
  let controller: FakeController;
  let queue: AsyncQueue;
  let admin: AdminQueue;

  function make(depth: number): void {
    controller = new FakeController(depth);
    queue = new AsyncQueue(controller.open(), 60_000, {
      check: () => true,
      overdue: () => undefined,
      distrust: () => undefined,
    });
    admin = new AdminQueue(queue, DEVICE);
  }

  const identify = (count: number): Promise<string[]> => {
    const codes = Array.from({ length: count }, () =>
      admin.execute({ opcode: IDENTIFY }).then(
        () => "done",
        (error: unknown) => (error as P2pError).code,
      ),
    );
    return Promise.all(codes);
  };

  /** Opcode and command id of what was submitted since the last call. */
  function fetch(): { opcode: number; id: number }[] {
    const from = controller.sqHead;
    return controller.fetch().map((id, i) => {
      const entry = ((from + i) % controller.depth) * 16;
      return { opcode: controller.sq[entry]! & 0xff, id };
    });
  }

  it("lets commands wait, and keeps slots for what is urgent", async () => {
    make(32);
    const all = identify(62);
    const first = fetch();
    assert.equal(first.length, 31 - 8);
    const urgent = Array.from({ length: 9 }, () =>
      admin.execute({ opcode: ABORT }, undefined, true),
    );
    const aborts = fetch();
    assert.deepEqual(
      aborts.map(({ opcode }) => opcode),
      new Array(8).fill(ABORT),
    );
    controller.complete(first.shift()!.id);
    while (queue.room === 0 && controller.sqHead === controller.sqTail)
      await new Promise(setImmediate);
    const next = fetch();
    assert.deepEqual(
      next.map(({ opcode }) => opcode),
      [ABORT],
      "the ninth goes before all that wait",
    );
    for (const { id } of [...first, ...aborts, ...next]) controller.complete(id);
    const serve = setInterval(() => {
      for (const { id } of fetch()) controller.complete(id);
    }, 1);
    await Promise.all(urgent);
    assert.deepEqual(await all, new Array(62).fill("done"));
    clearInterval(serve);
    assert.ok(queue.isIdle);
  });

  it("of one slot still takes one command after the other", async () => {
    make(2);
    const all = identify(3);
    const serve = setInterval(() => {
      for (const { id } of fetch()) controller.complete(id);
    }, 1);
    assert.deepEqual(await all, ["done", "done", "done"]);
    clearInterval(serve);
  });

  it("gives no command that may take for ever its last slot", async () => {
    for (const [depth, taken] of [
      [2, 0],
      [4, 1],
      [32, 22],
    ] as const) {
      make(depth);
      const patient = Array.from({ length: taken + 1 }, () =>
        admin.execute({ opcode: 12 }, Infinity),
      );
      const ended = Promise.allSettled(patient);
      await assert.rejects(patient.at(-1)!, { code: "QUEUE_FULL" });
      assert.equal(fetch().length, taken);
      queue.fail(reset);
      await ended;
    }
  });

  it("fails what waits together with the queue, for which it was meant", async () => {
    make(8);
    const all = identify(10);
    fetch();
    queue.suspend(reset);
    queue.end("the controller was reset", reset);
    assert.deepEqual(await all, new Array(10).fill("CONTROLLER_RESET"));
    await assert.rejects(admin.execute({ opcode: IDENTIFY }, undefined, true), reset);
    controller.recreate();
    queue.resume();
    assert.deepEqual(fetch(), []);

    const more = identify(10);
    queue.fail(reset);
    assert.deepEqual(await more, new Array(10).fill("CONTROLLER_RESET"));
  });
});
