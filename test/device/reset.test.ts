import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { runCopy } from "#lib/copy/copy.js";
import { CONFIG_REGION } from "#lib/addon.js";
import type { P2pError } from "#lib/errors.js";
import type { NvmeController } from "#lib/nvme/controller.js";
import { openQueuePair } from "#lib/nvme/queues/queue-pair.js";
import { IoOpcode } from "#lib/nvme/spec.js";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "#lib/pci/spec.js";
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

const SIZE = 16384;
const CODES = ["done", "CONTROLLER_RESET", "DEVICE_GONE"];

describe("a controller that is reset while reads run", () => {
  let session: Session;
  let devices: Devices;
  let controller: NvmeController;
  const bytes = pattern(SIZE, 21);

  beforeEach(async () => {
    session = await openSession();
    devices = devicesOf(session);
    controller = await session.controller(devices.nvme1);
    await store(session, await namespaceOf(session, devices.nvme1), 0, bytes);
  });

  afterEach(() => session.close());

  /** Reads, one after the other, on several lanes; what each ended with. */
  function reading(): { stop: () => Promise<string[]>; moving: () => Promise<void> } {
    const results: string[] = [];
    let done = 0;
    let isStopped = false;
    const [namespace] = controller.namespaces;
    const blocks = SIZE / namespace!.blockSize;
    const lane = async (): Promise<void> => {
      const buffer = session.addressSpace.allocate(SIZE);
      const contents = new Uint8Array(buffer.buffer, 0, SIZE);
      const list = new ScatterList(session.addressSpace).addHost(buffer, 0, SIZE);
      await withVector(list, namespace!, async (vector) => {
        while (!isStopped)
          try {
            contents.fill(0);
            await namespace!.read(0, blocks, vector);
            assert.equal(Buffer.compare(contents, bytes), 0);
            results.push("done");
            done++;
          } catch (error) {
            results.push((error as P2pError).code);
            await delay(20); // it is being reset: leave it the processor
          }
      });
      buffer.close();
    };
    const lanes = Array.from({ length: 4 }, lane);
    const moving = async (): Promise<void> => {
      const before = done;
      while (done === before) await delay(5);
    };
    const stop = async (): Promise<string[]> => {
      isStopped = true;
      await Promise.all(lanes);
      return results;
    };
    return { stop, moving };
  }

  it("by its driver ends each once, and goes on with the data it had", async () => {
    const reads = reading();
    for (let round = 0; round < 3; round++) {
      await reads.moving();
      await controller.reset();
    }
    await reads.moving();
    for (const result of await reads.stop()) assert.ok(CODES.includes(result), result);
    assert.deepEqual(await load(session, controller.namespaces[0]!, 0, SIZE), bytes);
  });

  it("behind the driver's back is lost, until the driver resets it", async () => {
    const reads = reading();
    await reads.moving();
    controller.device.reset();
    await assert.rejects(load(session, controller.namespaces[0]!, 0, SIZE), {
      code: "CONTROLLER_RESET",
    });
    await controller.reset();
    await reads.moving();
    for (const result of await reads.stop()) assert.ok(CODES.includes(result), result);
    const plan = planOf(devices.nvme1, devices.nvme2, { size: 1 << 20, bs: 65536 });
    await runCopy(session, plan);
  });

  it("after its memory decode was off is shown again", async () => {
    const reads = reading();
    await reads.moving();
    const config = controller.device.region(CONFIG_REGION);
    config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) & ~PCI_COMMAND_MEMORY);
    await assert.rejects(load(session, controller.namespaces[0]!, 0, SIZE), {
      code: "DEVICE_GONE",
    });
    await controller.reset();
    await reads.moving();
    for (const result of await reads.stop()) assert.ok(CODES.includes(result), result);
  });

  it("has the queue pairs of others again, when they ask for them", async () => {
    const handle = await controller.createQueuePair({ depth: 8 });
    const queue = openQueuePair(handle);
    const flush = async (cookie: number): Promise<void> => {
      queue.submit(IoOpcode.FLUSH, 1, 0, 1, 0, 0, 0, 0, cookie);
      queue.ring();
      while (queue.next() !== cookie) await delay(1);
      queue.acknowledge();
    };
    for (let n = 0; n < 11; n++) await flush(n);
    await controller.reset();
    assert.throws(
      () => {
        controller.assertAlive(handle.qid);
      },
      { code: "CONTROLLER_RESET" },
    );
    await controller.recreateQueuePair(handle.qid);
    queue.reset();
    for (let n = 0; n < 11; n++) await flush(n);
    queue.close();
    await controller.deleteQueuePair(handle.qid);
  });

  it("does not have to be: a queue pair that is not to be trusted goes alone", async () => {
    const handle = await controller.createQueuePair({ depth: 8 });
    const reads = reading();
    await reads.moving();
    assert.equal(await controller.recover(handle.qid, -1), "queue-deleted");
    await reads.moving();
    assert.deepEqual([...new Set(await reads.stop())], ["done"]);
    await controller.deleteQueuePair(handle.qid);
  });
});
