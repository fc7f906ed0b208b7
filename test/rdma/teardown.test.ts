/** Letting go in any order, with requests posted: nothing crashes, and the device goes on. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { P2pError } from "#lib/errors.js";
import { Connection, OPCODE, part, remoteOf } from "./connection.js";
import { ACCESS, gidOf, STATUS, useRdmaMachine } from "./machine.js";

const ADDON = new URL("../../dist/addon.js", import.meta.url).href;

function permutations<T>(values: readonly T[]): T[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, index) =>
    permutations(values.filter((_, other) => other !== index)).map((rest) => [value, ...rest]),
  );
}

describe("the end of RDMA objects", () => {
  const machine = useRdmaMachine();

  async function stillWorks(): Promise<void> {
    const connection = new Connection(machine);
    const [from, to] = [connection.buffer(64), connection.buffer(64)];
    from.bytes.fill(7);
    connection.pairs[0].send({ opcode: OPCODE.write, sges: [part(from)], remote: remoteOf(to) });
    assert.equal((await connection.queues[0].take(1))[0]!.status, STATUS.success);
    assert.deepEqual(to.bytes, from.bytes);
    connection.close();
  }

  it("comes in any order: of domain, region, memory, completion queue and queue pair", async () => {
    const { device } = machine;
    for (const order of permutations(["domain", "region", "memory", "queue", "pair"] as const)) {
      const own = addon().openRdmaDevice(device.id);
      const domain = own.allocateDomain();
      const queue = own.createCompletionQueue(16, true);
      const pair = domain.createQueuePair(queue, queue, { sends: 4, receives: 4 });
      own.close();
      const memory = addon().allocatePinned(4096, false);
      const region = domain.registerHost(memory, 0, 4096, ACCESS.localWrite);
      pair.initialize({ port: machine.ports[0] });
      const records = pair.receives();
      const record = new DataView(records.buffer);
      const call = 4 * pair.receiveStride; // a PostCall (native/core/rdma_ring.h)
      record.setUint32(8, 1, true);
      record.setBigUint64(16, region.address, true);
      record.setUint32(24, 4096, true);
      record.setUint32(28, region.lkey, true);
      record.setUint32(call + 4, 1, true);
      pair.postReceives();
      assert.equal(record.getInt32(call + 8, true), 1);
      queue.onEvent(() => undefined);
      const objects = { domain, region, memory, queue, pair };
      for (const name of order) {
        const isUsed = name === "queue" && order.indexOf("pair") > order.indexOf("queue");
        if (isUsed)
          assert.throws(
            () => {
              queue.close();
            },
            { code: "IN_USE" },
          );
        else objects[name].close();
      }
      queue.close();
      records.close();
    }
    await stillWorks();
  });

  it("comes with that of a thread that closes nothing", async () => {
    const { index } = gidOf(machine.device, machine.ports[0]);
    const code = `
      import { parentPort } from "node:worker_threads";
      const { addon } = await import(${JSON.stringify(ADDON)});
      const device = addon().openRdmaDevice(${machine.device.id});
      const domain = device.allocateDomain();
      const queue = device.createCompletionQueue(16, true);
      const pair = domain.createQueuePair(queue, queue, { sends: 4, receives: 4 });
      const memory = addon().allocatePinned(4096, false);
      const region = domain.registerHost(memory, 0, 4096, 1);
      pair.initialize({ port: ${machine.ports[0]}, gidIndex: ${index} });
      queue.onEvent(() => undefined);
      device.onEvent(() => undefined);
      new Uint8Array(pair.sends().buffer).fill(0);
      parentPort.postMessage(region.length);
      setInterval(() => [device, domain, queue, pair, region, memory], 1000);
    `;
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
      assert.deepEqual(await once(worker, "message"), [4096]);
      await worker.terminate();
    }
    await stillWorks();
  });

  it("is an error to whoever goes on", () => {
    const { device } = machine;
    const domain = device.allocateDomain();
    const queue = device.createCompletionQueue(16, true);
    const pair = domain.createQueuePair(queue, queue, { sends: 4, receives: 4 });
    pair.close();
    pair.close();
    queue.close();
    domain.close();
    domain.close();
    for (const use of [
      () => pair.number,
      () => pair.state(),
      pair.postSends,
      () => pair.sends(),
      queue.poll,
      () => queue.records(),
      () => domain.createQueuePair(queue, queue, { sends: 1, receives: 1 }),
    ])
      assert.throws(use, (error) => error instanceof P2pError && error.code === "CLOSED");
  });
});
