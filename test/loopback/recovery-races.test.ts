/** What else goes on while a controller is recovered: it must come to no harm, and do none. */
import assert from "node:assert/strict";
import { mock } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { NativeFault } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import { P2pError } from "#lib/errors.js";
import { NvmeController } from "#lib/nvme/controller.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { AdminQueue } from "#lib/nvme/queues/admin-queue.js";
import { AdminOpcode } from "#lib/nvme/spec.js";
import { PciTree } from "#lib/pci/tree.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { withVector } from "../device/machine.js";
import { FaultyMachine } from "../support/faulty-machine.js";
import { NVME1, NVME2 } from "../support/raw-nvme.js";

const TIMEOUT = 400; // milliseconds
const BYTES = 4096;
const BLOCKS = BYTES / 512;

describe("while a controller is recovered", () => {
  let machine: FaultyMachine;
  let tree: PciTree;
  let space: AddressSpace;
  let controller: NvmeController;
  let namespace: NvmeNamespace;
  let data: DmaVector;
  let interruptions: P2pError[];
  let onInterrupted: (error: P2pError) => void;

  beforeEach(async () => {
    machine = new FaultyMachine();
    tree = new PciTree(machine.topology());
    space = new AddressSpace(machine, tree);
    interruptions = [];
    onInterrupted = (error) => interruptions.push(error);
    controller = await open(NVME1);
    namespace = controller.namespaces[0]!;
    data = new ScatterList(space).addHost(space.allocate(BYTES), 0, BYTES).map(controller);
    await namespace.read(0, BLOCKS, data);
  });

  afterEach(async () => {
    data.unmap();
    await controller.close();
    space.close();
    machine.close();
  });

  function open(device: string, timeout = TIMEOUT): Promise<NvmeController> {
    const fn = tree.functions.find(({ address }) => address === device)!;
    return NvmeController.open(space, fn, {
      allowWrite: true,
      timeout,
      onInterrupted: (error) => {
        onInterrupted(error);
      },
    });
  }

  const inject = (...faults: NativeFault[]): void => {
    for (const fault of faults) machine.inject(NVME1, fault);
  };

  it("no Abort is sent for a command that has ended while it waited for its turn", async () => {
    // A timeout that leaves time between its steps on a busy machine as well.
    const timeout = 3 * TIMEOUT;
    const other = await open(NVME2, timeout);
    const target = other.namespaces[0]!;
    const list = new ScatterList(space).addHost(space.allocate(BYTES), 0, BYTES);
    const limit = other.identity.abortLimit;
    const { mock: spy } = mock.method(AdminQueue.prototype, "execute");
    machine.inject(NVME2, { on: "abort", count: limit, delay: timeout / 2 });
    machine.inject(NVME2, { on: "read", count: limit + 8, delay: timeout + timeout / 4 });
    await withVector(list, target, async (vector) => {
      const reads = Array.from({ length: limit + 8 }, (_, n) => target.read(n, BLOCKS, vector));
      await Promise.all(reads);
    });
    // The next ones would be sent as soon as these have ended.
    await Promise.all(spy.calls.map(({ result }) => result as unknown as Promise<unknown>));
    await delay(20);
    const aborts = spy.calls.filter((call) => call.arguments[0].opcode === AdminOpcode.ABORT);
    spy.restore();
    await other.close();
    assert.equal(aborts.length, limit);
  });

  it("a fault that another step has mended meanwhile costs nothing more", async () => {
    // The admin queue is distrusted as well, while the deletion is waited for that ends in a reset.
    inject({ on: "read", effect: "wrong-cid" }, { on: "delete", effect: "wrong-cid" });
    await assert.rejects(namespace.read(0, BLOCKS, data), { code: "BAD_COMPLETION" });
    for (const end = performance.now() + TIMEOUT * 2; performance.now() < end;) {
      await namespace.read(0, BLOCKS, data);
      await delay(10);
    }
    assert.equal(interruptions.length, 1);
  });

  it("a listener that throws does not keep it from that; the process hears of it", async () => {
    onInterrupted = (error) => {
      throw new Error(`told ${error.code}`);
    };
    const heard: string[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => heard.push(error.message));
    try {
      await controller.reset();
      await namespace.read(0, BLOCKS, data);
      controller.abandon(new P2pError("DEVICE_ERROR", "uncorrectable"));
      await assert.rejects(namespace.read(0, BLOCKS, data), { code: "DEVICE_ERROR" });
      await delay(1);
    } finally {
      process.setUncaughtExceptionCaptureCallback(null);
    }
    assert.deepEqual(heard, ["told CONTROLLER_RESET", "told DEVICE_ERROR"]);
  });

  it("an admin queue that others have filled does not stand in the way of Abort", async () => {
    inject({ on: "identify", count: 23, delay: TIMEOUT / 2 });
    inject({ on: "read", effect: "hang" });
    const read = namespace.read(0, BLOCKS, data);
    await delay((TIMEOUT * 3) / 4);
    const identified = Array.from({ length: 40 }, () => controller.admin.identifyNamespace(1));
    await assert.rejects(read, { message: /it was aborted$/ });
    await Promise.all(identified);
    assert.deepEqual(interruptions, []);
  });

  it("all queue pairs can be asked for at once", async () => {
    const wanted = controller.freeQueuePairs;
    assert.ok(wanted > 31);
    await Promise.all(
      Array.from({ length: wanted }, () => controller.createQueuePair({ depth: 2 })),
    );
    assert.equal(controller.freeQueuePairs, 0);
  });

  it("queue pairs are deleted and made again once that is over", async () => {
    const before = controller.freeQueuePairs;
    const [one, two] = [
      await controller.createQueuePair({ depth: 4 }),
      await controller.createQueuePair({ depth: 4 }),
    ];
    const reset = controller.reset();
    await Promise.resolve();
    await Promise.resolve();
    await Promise.all([
      controller.deleteQueuePair(one.qid),
      controller.recreateQueuePair(two.qid),
      reset,
    ]);
    controller.assertAlive(two.qid);
    assert.equal(controller.freeQueuePairs, before - 1);
  });

  for (const turns of [2, 8, 12, 20, 40])
    it(`an error of the device is not forgotten (${turns} turns later)`, async () => {
      const reset = controller.reset();
      for (let n = 0; n < turns; n++) await Promise.resolve();
      controller.abandon(new P2pError("DEVICE_ERROR", "uncorrectable"));
      await assert.rejects(reset, { code: "DEVICE_ERROR" });
      assert.throws(
        () => {
          controller.assertAlive();
        },
        { code: "DEVICE_ERROR" },
      );
      await controller.reset();
      await namespace.read(0, BLOCKS, data);
    });

  it("a queue pair that does not exist is no reason for a reset", async () => {
    for (const commandId of [-1, 0])
      await assert.rejects(controller.recover(63, commandId), { code: "NO_QUEUE" });
    assert.deepEqual(interruptions, []);
  });

  it("the queue of awaited calls leaves nothing behind where it could not be used", async () => {
    const other = await open(NVME2);
    const before = other.freeQueuePairs;
    const assertAlive = other.assertAlive.bind(other);
    other.assertAlive = (qid) => {
      if (qid !== undefined) throw new P2pError("DEVICE_GONE", "just then");
      assertAlive();
    };
    await assert.rejects(other.ioQueue(), { code: "DEVICE_GONE" });
    other.assertAlive = assertAlive;
    for (let looks = 0; looks < 500 && other.freeQueuePairs !== before; looks++) await delay(2);
    assert.equal(other.freeQueuePairs, before);
    assert.equal((await other.ioQueue()).qid, 1);
    await other.close();
  });

  it("a queue that the controller does not give back is nobody's until the next reset", async () => {
    const before = controller.freeQueuePairs;
    inject({ on: "create", after: 1, status: [0, 6] }, { on: "delete", status: [1, 1] });
    await assert.rejects(controller.createQueuePair({ depth: 2 }), {
      message: /CREATE_IO_SQ/,
    });
    assert.equal(controller.freeQueuePairs, before - 1);
    const { qid } = await controller.createQueuePair({ depth: 2 });
    await controller.deleteQueuePair(qid);
    await controller.reset();
    assert.equal(controller.freeQueuePairs, before);
    assert.notEqual((await controller.createQueuePair({ depth: 2 })).qid, qid);
  });
});
