import assert from "node:assert/strict";
import { Bench, blocks, NVME0, READ, waitFor } from "../support/raw-nvme.js";
import type { RawNvme, RawQueue } from "../support/raw-nvme.js";

const FLUSH = { opcode: 0, nsid: 1 };
const ASYNC_EVENT = { opcode: 0x0c };
const ERROR_LOG = [0x01 | (0x0f << 16)];

describe("loopback NVMe queues", () => {
  let bench: Bench;
  let nvme: RawNvme;

  beforeEach(() => {
    bench = new Bench();
    nvme = bench.nvme(NVME0).enable();
  });
  afterEach(() => {
    bench.close();
  });

  it("refuses to create queues as the specification tells it to", () => {
    const { iova } = bench.host(1 << 16);
    const cq = (qid: number, depth: number, at = iova, flags = 1) =>
      nvme.createCq(qid, depth, at, flags).status;
    const sq = (qid: number, depth: number, cqid: number, at = iova, flags = 1) =>
      nvme.createSq(qid, depth, at, cqid, flags).status;
    assert.equal(cq(0, 8), 0x4101); // Invalid Queue Identifier
    assert.equal(cq(65, 8), 0x4101);
    assert.equal(cq(1, 1), 0x4102); // Invalid Queue Size
    assert.equal(cq(1, 4097), 0x4102);
    assert.equal(cq(1, 8, iova, 0), 0x4002); // not contiguous: Invalid Field
    assert.equal(cq(1, 8, iova + 64), 0x4013); // Invalid PRP Offset
    assert.equal(cq(1, 8, iova, 1 | (65 << 16)), 0x4108); // Invalid Interrupt Vector
    assert.equal(sq(1, 8, 1), 0x4100); // Completion Queue Invalid
    assert.equal(cq(1, 8), 0);
    assert.equal(cq(1, 8), 0x4101);
    assert.equal(sq(1, 8, 0), 0x4101);
    assert.equal(sq(0, 8, 1), 0x4101);
    assert.equal(sq(1, 1, 1), 0x4102);
    assert.equal(sq(1, 8, 2), 0x4100);
    assert.equal(sq(1, 8, 65), 0x4101);
    assert.equal(sq(1, 8, 1, iova + 4096), 0);
    assert.equal(sq(1, 8, 1, iova + 4096), 0x4101);
  });

  it("creates as many queues as Number of Queues says: what was granted, or else all", () => {
    const { iova } = bench.host(1 << 16);
    const cq = (qid: number) => nvme.createCq(qid, 8, iova).status;
    const sq = (qid: number, cqid: number) => nvme.createSq(qid, 8, iova, cqid).status;
    const numberOfQueues = (opcode: number, value: number) => {
      const { status, result } = nvme.admin.run({ opcode, dwords: [7, value] });
      return [status, result];
    };
    const [set, get] = [0x09, 0x0a];
    const invalidIdentifier = 0x4101;
    // 0's based: 2 submission queues, 3 completion queues.
    assert.deepEqual(numberOfQueues(set, 0x0002_0001), [0, 0x0002_0001]);
    assert.deepEqual([cq(4), cq(64)], [invalidIdentifier, invalidIdentifier]);
    assert.deepEqual([cq(3), cq(1)], [0, 0]);
    assert.deepEqual([sq(3, 3), sq(64, 3)], [invalidIdentifier, invalidIdentifier]);
    assert.deepEqual([sq(1, 4), sq(1, 2)], [invalidIdentifier, 0x4100]);
    assert.deepEqual([sq(2, 3), sq(1, 3)], [0, 0]);
    assert.equal(numberOfQueues(set, 0x003f_003f)[0], 0x400c); // Command Sequence Error
    assert.deepEqual(numberOfQueues(get, 0), [0, 0x0002_0001]);

    nvme.bar0.write32(0x14, 0);
    nvme.enable();
    assert.deepEqual(numberOfQueues(get, 0), [0, 0x003f_003f]);
    assert.deepEqual([cq(65), cq(64), sq(64, 64)], [invalidIdentifier, 0, 0]);
  });

  it("deletes a completion queue only after the submission queues that use it", () => {
    nvme.createPair(nvme.queue(3, 8));
    const remove = (opcode: number, qid: number) =>
      nvme.admin.run({ opcode, dwords: [qid] }).status;
    assert.equal(remove(0x04, 3), 0x410c); // Invalid Queue Deletion
    assert.equal(remove(0x00, 2), 0x4101);
    assert.equal(remove(0x00, 0), 0x4101);
    assert.equal(remove(0x00, 3), 0);
    assert.equal(remove(0x04, 3), 0);
    assert.equal(remove(0x04, 3), 0x4101);
    const again = nvme.createPair(nvme.queue(3, 8));
    assert.equal(again.run(FLUSH).status, 0, "the identifier can be used again");
  });

  it("wraps rings and inverts the phase bit on each pass", () => {
    const queue = nvme.createPair(nvme.queue(1, 3));
    for (let i = 0; i < 20; i++) {
      const { status, sqHead, sqId } = queue.run(FLUSH);
      assert.deepEqual([status, sqHead, sqId], [0, (i + 1) % 3, 1]);
    }
  });

  it("takes a batch with one ring of the doorbell, and completes it in order", () => {
    const queue = nvme.createPair(nvme.queue(1, 64));
    for (let round = 0; round < 5; round++) {
      const sent = Array.from({ length: 63 }, () => queue.push(FLUSH));
      queue.ring();
      assert.deepEqual(
        sent.map(() => queue.wait().cid),
        sent,
      );
      queue.acknowledge();
    }
  });

  it("never overwrites a completion that the host has not acknowledged", () => {
    const queue = nvme.queue(1, 8);
    nvme.createCq(1, 4, queue.cq.iova);
    nvme.createSq(1, 8, queue.sq.iova, 1);
    for (let i = 0; i < 7; i++) queue.push(FLUSH);
    queue.ring();
    // Room for three of the seven; a command on another queue shows that the controller has moved on.
    const ids = [0, 1, 2].map((entry) => {
      const at = entry * 4 + 3;
      waitFor("three completions", () => (Atomics.load(queue.cq.words, at) >>> 16) % 2 === 1);
      return queue.cq.words[at]! & 0xffff;
    });
    nvme.identify(1);
    assert.equal(queue.cq.words[3 * 4 + 3], 0, "the fourth entry is still free");
    queue.acknowledge(1);
    waitFor("the fourth", () => (Atomics.load(queue.cq.words, 15) >>> 16) % 2 === 1);
    nvme.identify(1);
    assert.equal(queue.cq.words[3]! & 0xffff, ids[0], "the first is its host's until acknowledged");
  });

  it("serves several queues, and two that share a completion queue", () => {
    const first = nvme.createPair(nvme.queue(1, 8));
    const second = nvme.queue(2, 8);
    nvme.createSq(2, 8, second.sq.iova, 1);
    first.push({ ...FLUSH, cid: 100 });
    second.push({ ...FLUSH, cid: 200 });
    first.ring();
    second.ring();
    const done = [first.wait(), first.wait()].map(({ cid, sqId }) => `${cid} of ${sqId}`);
    assert.deepEqual(done.sort(), ["100 of 1", "200 of 2"]);
  });

  it("ignores invalid doorbell values and reports each by an asynchronous event", () => {
    const queue = nvme.createPair(nvme.queue(1, 8));
    const next = () => {
      nvme.admin.push(ASYNC_EVENT);
      nvme.admin.ring();
      const { result, status } = nvme.admin.wait();
      nvme.admin.acknowledge();
      nvme.admin.run({ opcode: 0x02, prp1: nvme.scratch.iova, dwords: ERROR_LOG });
      assert.equal(status, 0);
      return result;
    };
    const invalidValue = 0x01_01_00; // log page 1, information 1, type 0
    queue.ring(8);
    assert.equal(next(), invalidValue);
    queue.acknowledge(5); // nothing was posted yet
    assert.equal(next(), invalidValue);
    queue.push(FLUSH);
    queue.ring();
    queue.acknowledge(0);
    assert.equal(queue.wait().status, 0);
    nvme.doorbells[2 * 9] = 1; // there is no queue 9
    assert.equal(next(), 0x01_00_00);
  });

  it("keeps Asynchronous Event Requests until there is an event, and limits them", () => {
    const ids = [1, 2, 3, 4, 5].map(() => nvme.admin.push(ASYNC_EVENT));
    nvme.admin.ring();
    const { cid, status } = nvme.admin.wait();
    assert.deepEqual([cid, status], [ids[4], 0x4105]); // Asynchronous Event Request Limit Exceeded
    assert.equal(nvme.admin.poll(), null);
    const aborted = ids[1] ?? 0;
    nvme.admin.push({ opcode: 0x08, dwords: [aborted << 16] });
    nvme.admin.ring();
    const two = [nvme.admin.wait(), nvme.admin.wait()];
    const request = two.find((completion) => completion.cid === aborted);
    const abort = two.find((completion) => completion.cid !== aborted);
    assert.equal(request?.status, 0x07); // Command Abort Requested
    assert.deepEqual([abort?.status, abort?.result], [0, 0]);
    nvme.admin.acknowledge();
    const missing = nvme.admin.run({ opcode: 0x08, dwords: [99 << 16] });
    assert.deepEqual([missing.status, missing.result], [0, 1]); // not aborted
  });

  it("forgets queues and doorbells when it is disabled", () => {
    const queue = nvme.createPair(nvme.queue(1, 8));
    queue.push(FLUSH);
    queue.ring();
    queue.wait();
    nvme.bar0.write32(0x14, 0);
    assert.ok(nvme.doorbells.every((value) => value === 0));
    nvme.enable();
    const again = nvme.createPair(nvme.queue(1, 8));
    assert.equal(again.run(FLUSH).status, 0);
  });

  it("raises an MSI-X interrupt by eventfd for each batch of completions", async () => {
    const queue = nvme.queue(1, 8);
    nvme.createCq(1, 8, queue.cq.iova, 1 | 2 | (5 << 16)); // interrupts enabled, vector 5
    nvme.createSq(1, 8, queue.sq.iova, 1);
    const count = await new Promise<number>((resolve) => {
      nvme.device.onInterrupt(5, resolve);
      queue.push(FLUSH);
      queue.ring();
    });
    assert.ok(count >= 1);
    assert.equal(queue.poll()?.status, 0);
    nvme.device.onInterrupt(5, null);
    assert.throws(
      () => {
        nvme.device.onInterrupt(65, () => undefined);
      },
      { code: "BAD_RANGE" },
    );
  });

  it("is safe to take away while I/O is in flight", () => {
    const queues: RawQueue[] = [];
    const data = bench.host(1 << 20);
    for (let qid = 1; qid <= 4; qid++) queues.push(nvme.createPair(nvme.queue(qid, 64)));
    for (const queue of queues) {
      for (let i = 0; i < 63; i++)
        queue.push({ opcode: READ, nsid: 1, prp1: data.iova, dwords: blocks(i, 8) });
      queue.ring();
    }
    bench.space.unmap(BigInt(data.iova), data.memory.size);
    const before = data.bytes.slice();
    nvme.device.close();
    data.bytes.fill(0xcd);
    assert.ok(before.every((byte) => byte === 0));
    const again = bench.space.openDevice(NVME0);
    assert.ok(data.bytes.every((byte) => byte === 0xcd));
    again.close();
  });
});
