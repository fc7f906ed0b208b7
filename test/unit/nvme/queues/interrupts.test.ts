import assert from "node:assert/strict";
import type { NativeDevice } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import { AdminQueue } from "#lib/nvme/queues/admin-queue.js";
import { AsyncQueue } from "#lib/nvme/queues/async-queue.js";
import { Interrupts } from "#lib/nvme/queues/interrupts.js";
import { DEVICE, FakeController } from "../fake-controller.js";

/** MSI-X of a device that is not there. */
class FakeDevice {
  readonly handlers = new Map<number, () => void>();
  isGone = false;
  readonly msixVectors: number;

  constructor(msixVectors: number) {
    this.msixVectors = msixVectors;
  }

  onInterrupt(vector: number, handler: (() => void) | null): void {
    if (this.isGone) throw new P2pError("DEVICE_GONE", "gone");
    if (handler) this.handlers.set(vector, handler);
    else this.handlers.delete(vector);
  }

  get interrupts(): Interrupts {
    return new Interrupts(this as unknown as NativeDevice, DEVICE);
  }
}

describe("MSI-X vectors", () => {
  it("are one for each queue, or shared where there are fewer", () => {
    const vectors = (count: number) => {
      const { interrupts } = new FakeDevice(count);
      return [0, 1, 2, 3, 4].map((qid) => interrupts.enable(qid));
    };
    assert.deepEqual(vectors(65), [0, 1, 2, 3, 4]);
    assert.deepEqual(vectors(3), [0, 1, 2, 1, 2]);
    assert.deepEqual(vectors(1), [0, 0, 0, 0, 0]);
    assert.throws(() => vectors(0), { code: "UNSUPPORTED", device: DEVICE });
  });

  it("call all who share them, and are switched off with the last", () => {
    const device = new FakeDevice(2);
    const { interrupts } = device;
    const called: number[] = [];
    for (const qid of [1, 2]) {
      interrupts.enable(qid);
      interrupts.listen(qid, () => called.push(qid));
    }
    device.handlers.get(1)!();
    assert.deepEqual(called, [1, 2]);
    interrupts.disable(1);
    device.handlers.get(1)!();
    assert.deepEqual(called, [1, 2, 2]);
    interrupts.listen(2, null);
    device.handlers.get(1)!();
    interrupts.disable(2);
    assert.deepEqual([called.length, device.handlers.size], [3, 0]);
  });

  it("of a device that is gone can be let go", () => {
    const device = new FakeDevice(2);
    const { interrupts } = device;
    interrupts.enable(1);
    device.isGone = true;
    interrupts.disable(1);
  });
});

describe("A queue with interrupts", () => {
  const make = (hasInterrupts = true) => {
    const controller = new FakeController(8);
    let looks = 0;
    const queue = new AsyncQueue(
      controller.open(),
      60_000,
      {
        check: () => ++looks > 0,
        overdue: () => undefined,
        distrust: () => undefined,
      },
      hasInterrupts,
    );
    return { controller, queue, admin: new AdminQueue(queue, DEVICE), looks: () => looks };
  };
  const turns = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) await new Promise(setImmediate);
  };

  it("looks when one comes, and not in every turn", async () => {
    const { controller, queue, admin } = make();
    let isDone = false;
    const command = admin.execute({ opcode: 6 }).then(() => (isDone = true));
    controller.complete(controller.fetch()[0]!);
    await turns(5);
    assert.equal(isDone, false);
    queue.interrupted();
    await command;
    assert.equal(controller.cqHead, 1);
  });

  it("finds after a while what no interrupt told of, and warns where that goes on", async () => {
    const { controller, admin } = make();
    const warned = new Promise<Error & { code?: string }>((resolve) =>
      process.once("warning", resolve),
    );
    for (let n = 0; n < 2; n++) {
      const command = admin.execute({ opcode: 6 });
      controller.complete(controller.fetch()[0]!);
      await command;
    }
    assert.equal((await warned).code, "P2PMEM_MISSED_INTERRUPT");
  });

  it("takes an interrupt that comes with a queue that has ended for nothing", async () => {
    const { queue, admin } = make();
    const command = admin.execute({ opcode: 6 });
    queue.fail(new P2pError("CLOSED", "closed"));
    queue.interrupted();
    await assert.rejects(command, { code: "CLOSED" });
  });

  it("is not polled in every turn while only that is out which may take for ever", async () => {
    const { controller, queue, admin } = make(false);
    let isTold = false;
    const request = admin.execute({ opcode: 0x0c }, Infinity).then(() => (isTold = true));
    const [event] = controller.fetch();
    const command = admin.execute({ opcode: 6 });
    const [other] = controller.fetch();
    controller.complete(other!);
    await command;
    controller.complete(event!);
    await turns(3);
    assert.deepEqual([isTold, queue.isIdle], [false, false]);
    await request;
    assert.ok(queue.isIdle);
  });
});
