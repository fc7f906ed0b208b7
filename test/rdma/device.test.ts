/** An RDMA device as it shows itself, and from several threads. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { addon } from "#lib/addon.js";
import { isLab, openRdmaMachine, useRdmaMachine } from "./machine.js";

const ADDON = new URL("../../dist/addon.js", import.meta.url).href;

describe("an RDMA device", () => {
  const machine = useRdmaMachine();

  it("has attributes that queues can be made by", () => {
    const attributes = machine.device.attributes();
    assert.ok(attributes.nodeGuid > 0n);
    assert.ok(attributes.ports >= 1);
    assert.ok(attributes.maxSge >= 16);
    assert.ok(attributes.maxQueueEntries >= 128);
    assert.ok(attributes.maxRegionBytes >= 2n ** 30n);
    for (const name of ["maxQueuePairs", "maxCompletionQueues", "maxRegions"] as const)
      assert.ok(attributes[name] > 1, name);
    assert.equal(typeof attributes.onDemandPaging?.write, "boolean");
  });

  it("has ports that are active, each with a GID of 16 bytes and its type", () => {
    const { device, ports } = machine;
    for (const number of ports) {
      const port = device.port(number);
      assert.equal(port.state, 4);
      assert.ok([256, 512, 1024, 2048, 4096].includes(port.mtu), `${port.mtu}`);
      const gids = device.gids(number);
      assert.ok(gids.length > 0);
      assert.equal(new Set(gids.map(({ index }) => index)).size, gids.length);
      for (const { gid, type } of gids) {
        assert.equal(gid.length, 16);
        assert.ok(gid.some((byte) => byte !== 0));
        assert.ok(["infiniband", "rocev1", "rocev2"].includes(type));
      }
    }
    if (isLab) {
      // 192.0.2.1, as scripts/lab/soft-roce set it, in the form of RFC 4291 §2.5.5.2.
      const mapped = [0xff, 0xff, 192, 0, 2, 1];
      const found = device
        .gids(1)
        .find(({ gid }) => gid.slice(10).every((b, i) => b === mapped[i]));
      assert.equal(found?.type, "rocev2");
    }
  });

  it("refuses ports that it has not", () => {
    const { device } = machine;
    for (const number of [0, device.attributes().ports + 1, 255, 256, 1000])
      for (const ask of [() => device.port(number), () => device.gids(number)])
        assert.throws(ask, { name: "P2pError", code: "NO_PORT" });
  });

  it("refuses completion queues and queue pairs beyond its limits, and says what they are", () => {
    const { device } = machine;
    const { maxCompletionEntries, maxSge } = device.attributes();
    for (const entries of [0, maxCompletionEntries + 1, 2 ** 31])
      assert.throws(() => device.createCompletionQueue(entries, false), { code: "RDMA_LIMIT" });
    const domain = device.allocateDomain();
    const queue = device.createCompletionQueue(16, false);
    const tooMany = { sends: 1, receives: 1, sendSge: maxSge + 1 };
    if (maxSge < 32)
      assert.throws(() => domain.createQueuePair(queue, queue, tooMany), { code: "RDMA_LIMIT" });
    else assert.throws(() => domain.createQueuePair(queue, queue, tooMany), TypeError);
    assert.throws(() => domain.createQueuePair(queue, queue, { sends: 2 ** 22, receives: 1 }), {
      code: "RDMA_LIMIT",
    });
    queue.close();
    domain.close();
  });

  it("makes queue pairs of completion queues of its own alone", () => {
    const other = openRdmaMachine();
    const domain = machine.device.allocateDomain();
    const own = machine.device.createCompletionQueue(16, false);
    const foreign = other.device.createCompletionQueue(16, false);
    for (const [sends, receives] of [
      [own, foreign],
      [foreign, own],
      [foreign, foreign],
    ] as const)
      assert.throws(() => domain.createQueuePair(sends, receives, { sends: 1, receives: 1 }), {
        code: "BAD_ARGUMENT",
      });
    for (const object of [domain, own, foreign, other]) object.close();
  });

  it("has no events to wait for where a completion queue was made without a channel", () => {
    const queue = machine.device.createCompletionQueue(16, false);
    assert.throws(() => queue.waitEvent(0), { code: "UNSUPPORTED" });
    assert.throws(
      () => {
        queue.onEvent(() => undefined);
      },
      { code: "UNSUPPORTED" },
    );
    // There is no handler to take away, which is no fault of whoever lets go.
    queue.onEvent(null);
    queue.close();
    queue.close();
    queue.onEvent(null);
    assert.throws(queue.poll, { code: "CLOSED" });
  });

  it("is opened by its number in another thread, as long as somebody has it open", async () => {
    const { id, name } = machine.device;
    assert.equal(machine.device.id, id);
    const { nodeGuid } = machine.device.attributes();
    const code = `
      import { parentPort } from "node:worker_threads";
      const { addon } = await import(${JSON.stringify(ADDON)});
      const device = addon().openRdmaDevice(${id});
      const domain = device.allocateDomain();
      const memory = addon().allocatePinned(4096, false);
      const region = domain.registerHost(memory, 0, 4096, 1);
      parentPort.postMessage([device.id, device.name, device.attributes().nodeGuid, region.length]);
      // And ends with all of it open.
    `;
    for (let round = 0; round < 2; round++) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
      const ended = once(worker, "exit");
      const [found] = (await once(worker, "message")) as [unknown[]];
      assert.deepEqual(found, [id, name, nodeGuid, 4096]);
      assert.deepEqual(await ended, [0]);
    }
    const other = openRdmaMachine();
    const { id: gone } = other.device;
    other.close();
    assert.throws(() => addon().openRdmaDevice(gone), { code: "GONE" });
  });
});
