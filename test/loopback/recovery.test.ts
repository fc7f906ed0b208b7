/** What becomes of commands that do not complete: each step of the ladder, as the one before fails. */
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { CONFIG_REGION, type NativeFault } from "#lib/addon.js";
import { AddressSpace } from "#lib/dma/address-space.js";
import type { P2pError } from "#lib/errors.js";
import { NvmeController } from "#lib/nvme/controller.js";
import type { NvmeNamespace } from "#lib/nvme/namespace.js";
import { openQueuePair, type QueuePair } from "#lib/nvme/queues/queue-pair.js";
import { IoOpcode } from "#lib/nvme/spec.js";
import { PCI_COMMAND } from "#lib/pci/spec.js";
import { PciTree } from "#lib/pci/tree.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import { ScatterList } from "#lib/sgl/scatterlist.js";
import { FaultyMachine } from "../support/faulty-machine.js";
import { NVME1, NVME2, waitFor } from "../support/raw-nvme.js";

const TIMEOUT = 400; // milliseconds
const BLOCK = 512;
const BYTES = 4096;
const BLOCKS = BYTES / BLOCK;
/** PCI 3.0 §6.2.2, of the command register. */
const BUS_MASTER = 1 << 2;

/** Abort does not end it. */
const STUCK: NativeFault = { on: "read", effect: "hang", abort: false };
const STUCK_DELETE: NativeFault = { on: "delete", effect: "hang", abort: false };

interface Bystander {
  errors: unknown[];
  count: number;
  stop(): Promise<void>;
}

function codeOf(error: unknown): string {
  return (error as P2pError).code;
}

describe("a command that does not complete", () => {
  let machine: FaultyMachine;
  let space: AddressSpace;
  let tree: PciTree;
  let controller: NvmeController;
  let namespace: NvmeNamespace;
  let data: DmaVector;
  let interruptions: P2pError[];
  const vectors: DmaVector[] = [];
  const opened: NvmeController[] = [];

  beforeEach(async () => {
    machine = new FaultyMachine();
    tree = new PciTree(machine.topology());
    space = new AddressSpace(machine, tree);
    interruptions = [];
    controller = await open(NVME1);
    namespace = controller.namespaces[0]!;
    data = vectorFor(controller);
    // The queue behind it is there before anything goes wrong.
    await namespace.read(0, BLOCKS, data);
  });

  afterEach(async () => {
    for (const vector of vectors.splice(0)) vector.unmap();
    for (const each of opened.splice(0)) await each.close();
    space.close();
    machine.close();
  });

  async function open(address: string): Promise<NvmeController> {
    const fn = tree.functions.find((fn) => fn.address === address)!;
    const onInterrupted = (error: P2pError): void => {
      interruptions.push(error);
    };
    const options = { allowWrite: true, timeout: TIMEOUT, onInterrupted };
    opened.push(await NvmeController.open(space, fn, options));
    return opened.at(-1)!;
  }

  function vectorFor(client: NvmeController): DmaVector {
    const list = new ScatterList(space).addHost(space.allocate(BYTES), 0, BYTES);
    const vector = list.map(client);
    vectors.push(vector);
    return vector;
  }

  const inject = (...faults: NativeFault[]): void => {
    for (const fault of faults) machine.inject(NVME1, fault);
  };

  /** One read after the other, until it is told to stop. */
  function flow({ controller }: NvmeNamespace, { retries = false } = {}): Bystander {
    const target = vectorFor(controller);
    const stopping = new AbortController();
    const seen = { errors: [] as unknown[], count: 0 };
    const lane = async (): Promise<void> => {
      while (!stopping.signal.aborted)
        try {
          await controller.namespaces[0]!.write(64, BLOCKS, target);
          seen.count++;
        } catch (error) {
          seen.errors.push(error);
          if (!retries) return;
        }
    };
    const running = lane();
    return Object.assign(seen, {
      stop: () => {
        stopping.abort();
        return running;
      },
    });
  }

  function submitRead(queue: QueuePair, cookie: number): void {
    const address = data.addresses[0]!;
    queue.submit(IoOpcode.READ, 1, 0, BLOCKS, address | 0, (address / 2 ** 32) | 0, 0, 0, cookie);
    queue.ring();
  }

  /** Submits a read that hangs, and comes back when the controller has taken it. */
  function submitStuck(queue: QueuePair, cookie: number): void {
    submitRead(queue, cookie);
    queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, 999);
    queue.ring();
    assert.equal(complete(queue), 999);
  }

  function complete(queue: QueuePair): number {
    let cookie = -1;
    waitFor("a completion", () => (cookie = queue.next()) >= 0);
    queue.acknowledge();
    return cookie;
  }

  const isMaster = (): boolean =>
    (controller.device.region(CONFIG_REGION).read16(PCI_COMMAND) & BUS_MASTER) !== 0;

  it("is aborted, and all others go on", async () => {
    const other = await open(NVME2);
    inject({ on: "read", effect: "hang" });
    const stuck = namespace.read(0, BLOCKS, data);
    const flows = [flow(namespace), flow(other.namespaces[0]!)];
    await assert.rejects(stuck, {
      code: "TIMEOUT",
      message: "Read of blocks 0 to 7 of namespace 1 did not complete in 0.4 s; it was aborted",
      device: NVME1,
    });
    for (const { count } of flows) assert.ok(count > 0);
    await namespace.read(0, BLOCKS, data);
    for (const each of flows) {
      await each.stop();
      assert.deepEqual(each.errors, []);
    }
    assert.deepEqual(interruptions, []);
  });

  it("of two at once, each is aborted", async () => {
    inject({ on: "read", count: 2, effect: "hang" });
    const codes = await Promise.all(
      [0, 8].map((lba) => namespace.read(lba, BLOCKS, data).catch(codeOf)),
    );
    assert.deepEqual(codes, ["TIMEOUT", "TIMEOUT"]);
    await namespace.read(0, BLOCKS, data);
  });

  it("of more than may be aborted at once, each is aborted", async () => {
    assert.equal(controller.identity.abortLimit, 4);
    inject({ on: "read", count: 12, effect: "hang" });
    const reads = Array.from({ length: 12 }, (_, n) => namespace.read(n, 1, data));
    for (const result of await Promise.allSettled(reads))
      assert.match(String((result as PromiseRejectedResult).reason), /; it was aborted$/);
  });

  it("succeeds if it completes after all, before Abort finds it", async () => {
    inject({ on: "read", delay: TIMEOUT + 200 }, { on: "abort", delay: 1000 });
    await namespace.read(0, BLOCKS, data);
  });

  it("goes with its queue where Abort does not help, and the queue comes back", async () => {
    const other = flow((await open(NVME2)).namespaces[0]!);
    inject(STUCK);
    const stuck = namespace.read(0, BLOCKS, data);
    const beside = flow(namespace, { retries: true });
    await assert.rejects(stuck, {
      code: "TIMEOUT",
      message: /did not complete in 0.4 s; its queue was deleted$/,
    });
    await namespace.read(0, BLOCKS, data);
    for (const each of [other, beside]) await each.stop();
    assert.deepEqual(other.errors, []);
    // On a busy machine one of them may be late itself.
    for (const error of beside.errors) assert.match(codeOf(error), /^(ABORTED|TIMEOUT)$/);
    assert.deepEqual(interruptions, [], "the controller was not reset");
    controller.assertAlive();
  });

  for (const [step, faults] of [
    ["its queue cannot be deleted", [STUCK, STUCK_DELETE]],
    ["its queue's completion queue cannot be deleted", [STUCK, { ...STUCK_DELETE, after: 1 }]],
    ["deleting its queue fails", [STUCK, { on: "delete", status: [0, 6] }]],
    ["its queue cannot be created again", [STUCK, { on: "create", effect: "hang", abort: false }]],
    ["even Abort hangs", [STUCK, { on: "abort", effect: "hang", abort: false }, STUCK_DELETE]],
  ] as [string, NativeFault[]][])
    it(`ends by a reset of the controller where ${step}, and reads go on`, async () => {
      const handle = await controller.createQueuePair({ depth: 4 });
      const queue = openQueuePair(handle);
      const other = flow((await open(NVME2)).namespaces[0]!);
      inject(...faults);
      await assert.rejects(namespace.read(0, BLOCKS, data), { code: "TIMEOUT" });
      await namespace.read(0, BLOCKS, data);
      await other.stop();
      assert.deepEqual(other.errors, []);
      assert.deepEqual(
        interruptions.map(({ code }) => code),
        ["CONTROLLER_RESET"],
      );
      assert.equal(machine.resets.get(NVME1), 0);
      controller.assertAlive();
      assert.throws(
        () => {
          controller.assertAlive(handle.qid);
        },
        { code: "CONTROLLER_RESET", message: /did not complete in 0.4 s/ },
      );

      await controller.recreateQueuePair(handle.qid);
      controller.assertAlive(handle.qid);
      queue.reset();
      submitRead(queue, 5);
      assert.equal(complete(queue), 5);
      queue.close();
      await controller.deleteQueuePair(handle.qid);
    });

  it("of the admin queue is aborted, too", async () => {
    inject({ on: "identify", effect: "hang" });
    await assert.rejects(controller.admin.identifyNamespace(1), {
      code: "TIMEOUT",
      message: "admin command IDENTIFY did not complete in 0.4 s; it was aborted",
    });
    await controller.admin.identifyNamespace(1);
    assert.deepEqual(interruptions, []);
  });

  it("of the admin queue ends by a reset where Abort does not help", async () => {
    inject({ on: "identify", effect: "hang", abort: false });
    await assert.rejects(controller.admin.identifyNamespace(1), {
      code: "TIMEOUT",
      message: /; the controller was reset$/,
    });
    await namespace.read(0, BLOCKS, data); // waits until it works again
    await controller.admin.identifyNamespace(1);
  });

  it("ends by a reset of the device where the controller does not obey", async () => {
    inject(STUCK, STUCK_DELETE, { on: "now", effect: "no-disable" });
    await assert.rejects(namespace.read(0, BLOCKS, data), {
      code: "TIMEOUT",
      message: /; the controller was reset$/,
    });
    assert.equal(machine.resets.get(NVME1), 1);
    await namespace.read(0, BLOCKS, data);
  });

  it("costs the controller where nothing helps; it is cut off, until a reset brings it back", async () => {
    const handle = await controller.createQueuePair({ depth: 4 });
    inject(STUCK, STUCK_DELETE);
    inject({ on: "now", effect: "no-disable" }, { on: "now", effect: "no-reset" });
    await assert.rejects(namespace.read(0, BLOCKS, data), { code: "NOT_READY", device: NVME1 });
    assert.equal(isMaster(), false);
    for (const qid of [undefined, handle.qid])
      assert.throws(
        () => {
          controller.assertAlive(qid);
        },
        { code: "NOT_READY" },
      );
    await assert.rejects(namespace.read(0, BLOCKS, data), { code: "NOT_READY" });
    await assert.rejects(controller.recover(handle.qid, 0), { code: "NOT_READY" });
    await controller.deleteQueuePair(handle.qid);

    machine.clearFaults(NVME1);
    await controller.reset();
    controller.assertAlive();
    await namespace.read(0, BLOCKS, data);
    assert.equal((await controller.createQueuePair({ depth: 4 })).qid, handle.qid);
  });

  it("does not keep two controllers from being recovered at once", async () => {
    const other = await open(NVME2);
    machine.inject(NVME1, STUCK);
    machine.inject(NVME2, STUCK);
    machine.inject(NVME2, STUCK_DELETE);
    const reads = [namespace.read(0, 1, data), other.namespaces[0]!.read(0, 1, vectorFor(other))];
    const [deleted, reset] = await Promise.allSettled(reads);
    assert.match(String((deleted as PromiseRejectedResult).reason), /its queue was deleted/);
    assert.match(String((reset as PromiseRejectedResult).reason), /the controller was reset/);
    await namespace.read(0, 1, data);
  });

  it("does not keep the controller from being closed, whatever else hangs", async () => {
    inject({ ...STUCK, on: "any", count: 1000 });
    const stuck = [namespace.read(0, BLOCKS, data), controller.admin.identifyNamespace(1)];
    const ended = Promise.allSettled(stuck);
    await controller.close();
    for (const result of await ended)
      assert.equal(codeOf((result as PromiseRejectedResult).reason), "CLOSED");
  });

  it("of a controller that is starting makes open() fail, after one reset of the device", async () => {
    await controller.close();
    inject({ on: "identify", count: 2, effect: "hang", abort: false });
    await assert.rejects(open(NVME1), { code: "TIMEOUT" });
    controller = await open(NVME1);
    inject({ on: "identify", effect: "hang", abort: false });
    await controller.close();
    controller = await open(NVME1);
    assert.equal(machine.resets.get(NVME1), 1);
  });

  describe("on a queue pair that somebody else polls", () => {
    let queue: QueuePair;
    let qid: number;

    beforeEach(async () => {
      const handle = await controller.createQueuePair({ depth: 4 });
      qid = handle.qid;
      queue = openQueuePair(handle);
    });

    afterEach(async () => {
      queue.close();
      await controller.deleteQueuePair(qid);
    });

    it("is aborted, and completes there", async () => {
      inject({ on: "read", effect: "hang" });
      submitStuck(queue, 3);
      const outcome = await controller.recover(qid, queue.commandIdOf(3));
      assert.equal(outcome, "aborted");
      assert.equal(complete(queue), 3);
      assert.equal(queue.status, 0x07);
      controller.assertAlive(qid);
    });

    it("goes with its queue, whose owner has to let go of it, and other queues go on", async () => {
      inject(STUCK);
      submitStuck(queue, 3);
      const beside = flow(namespace);
      assert.equal(await controller.recover(qid, queue.commandIdOf(3)), "queue-deleted");
      await beside.stop();
      assert.deepEqual(beside.errors, []);
      assert.throws(
        () => {
          controller.assertAlive(qid);
        },
        { code: "ABORTED" },
      );
      assert.equal(await controller.recover(qid, 0), "queue-deleted", "and asked once more");
      await controller.deleteQueuePair(qid);
      assert.equal((await controller.createQueuePair({ depth: 4 })).qid, qid);
    });

    it("goes with its queue at once where the queue is not to be trusted", async () => {
      inject({ on: "read", effect: "wrong-cid" });
      submitRead(queue, 3);
      waitFor("the fault", () => queue.next() < 0 && queue.fault !== null);
      assert.equal(await controller.recover(qid, -1), "queue-deleted");
    });

    it("that was aborted, and did not complete, goes with its queue the second time", async () => {
      inject({ on: "read", effect: "hang" });
      submitStuck(queue, 3);
      const id = queue.commandIdOf(3);
      assert.equal(await controller.recover(qid, id), "aborted");
      assert.equal(await controller.recover(qid, id), "queue-deleted");
    });

    it("is over when its owner says so meanwhile", async () => {
      inject(STUCK);
      submitStuck(queue, 3);
      let asked = 0;
      const isOver = (): boolean => asked++ > 3;
      assert.equal(await controller.recover(qid, queue.commandIdOf(3), isOver), "aborted");
      controller.assertAlive(qid);
    });

    it("and one on another end together where it takes a reset", async () => {
      inject({ ...STUCK, count: 2 }, { ...STUCK_DELETE, count: 2 });
      submitStuck(queue, 3);
      const own = namespace.read(0, BLOCKS, data);
      await delay(TIMEOUT / 2);
      const outcomes = await Promise.all([controller.recover(qid, 0), controller.recover(qid, 1)]);
      assert.deepEqual(outcomes, ["reset", "reset"]);
      assert.match(String(await own.catch(codeOf)), /^(CONTROLLER_RESET|TIMEOUT)$/);
      await namespace.read(0, BLOCKS, data);
    });
  });
});
