import assert from "node:assert/strict";
import fc from "fast-check";
import { QueuePair } from "#lib/nvme/queues/queue-pair.js";
import { DEVICE, FakeController as Controller, QID } from "../fake-controller.js";

const submit = (queue: QueuePair, cookie: number): void =>
  queue.submit(2, 1, 0, 8, 0x1000, 0, 0, 0, cookie);

describe("A queue pair", () => {
  it("writes an entry field by field, and the tail only with ring()", () => {
    const controller = new Controller(8);
    const queue = controller.open();
    controller.sq.fill(-1);
    queue.submit(1, 7, 0x12_89ab_cdef, 65536, 0x1000, 0x11, 0x80002000 | 0, 0x22, 5);
    assert.equal(controller.sqTail, 0);
    queue.ring();
    assert.equal(controller.sqTail, 1);
    const entry = [...controller.sq.subarray(0, 16)].map((word) => word >>> 0);
    assert.deepEqual(
      [entry[0]! & 0xffff, ...entry.slice(1)],
      [1, 7, 0, 0, 0, 0, 0x1000, 0x11, 0x80002000, 0x22, 0x89abcdef, 0x12, 65535, 0, 0, 0],
    );
  });

  it("writes any command by submitEntry(), but its own command id", () => {
    const controller = new Controller(8);
    const queue = controller.open();
    submit(queue, 1);
    const entry = Int32Array.from({ length: 16 }, (_, i) => 0x1000 + i);
    entry[0] = 0x7fff_0006;
    queue.submitEntry(entry, 9);
    queue.ring();
    const [first, second] = controller.fetch();
    assert.notEqual(first, second);
    assert.equal(controller.sq[16]! & 0xffff, 6);
    assert.deepEqual([...controller.sq.subarray(17, 32)], [...entry.subarray(1)]);
    controller.complete(second!, { result: 0x8000_0001 | 0, status: 0x4002 });
    assert.equal(queue.next(), 9);
    assert.equal(queue.status, 0x4002);
    assert.equal(queue.result, 0x8000_0001);
  });

  it("takes depth - 1 commands, refuses the next, and takes one more for each that finished", () => {
    const controller = new Controller(4);
    const queue = controller.open();
    assert.deepEqual([queue.free, queue.inFlight], [3, 0]);
    for (let cookie = 0; cookie < 3; cookie++) submit(queue, cookie);
    assert.deepEqual([queue.free, queue.inFlight], [0, 3]);
    assert.throws(() => submit(queue, 3), { code: "QUEUE_FULL", device: DEVICE });
    assert.throws(() => queue.submitEntry(new Int32Array(16), 3), { code: "QUEUE_FULL" });
    queue.ring();
    assert.equal(controller.sqTail, 3);
    controller.complete(controller.fetch()[1]!);
    assert.equal(queue.next(), 1);
    assert.deepEqual([queue.free, queue.inFlight], [1, 2]);
    submit(queue, 3);
    assert.throws(() => submit(queue, 4), { code: "QUEUE_FULL" });
  });

  it("finds nothing in memory that the controller has not written", () => {
    const queue = new Controller(4).open();
    for (let cookie = 0; cookie < 3; cookie++) submit(queue, cookie);
    queue.ring();
    assert.equal(queue.next(), -1);
    assert.equal(queue.fault, null);
  });

  it("returns each cookie once, with its status, in any order and over many laps", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2, 4, 16),
        fc.array(fc.tuple(fc.nat(15), fc.nat(15), fc.nat(1000)), { maxLength: 100 }),
        (depth, steps) => {
          const controller = new Controller(depth);
          const queue = controller.open();
          const inFlight = new Map<number, number>(); // command id, cookie
          let cookie = 0;
          for (const [submits, completes, pick] of steps) {
            const count = Math.min(submits, queue.free);
            const cookies = Array.from({ length: count }, () => cookie++);
            for (const one of cookies) submit(queue, one);
            queue.ring();
            for (const [i, id] of controller.fetch().entries()) {
              assert.ok(!inFlight.has(id), "a command id is used twice");
              inFlight.set(id, cookies[i]!);
            }
            const expected = [];
            for (let n = Math.min(completes, inFlight.size); n > 0; n--) {
              const [id, one] = [...inFlight][pick % inFlight.size]!;
              inFlight.delete(id);
              controller.complete(id, { status: one & 0x7fff });
              expected.push(one);
            }
            for (const one of expected) {
              assert.equal(queue.next(), one);
              assert.equal(queue.status, one & 0x7fff);
            }
            assert.equal(queue.next(), -1);
            queue.acknowledge();
            assert.equal(queue.inFlight, inFlight.size);
          }
          assert.equal(queue.fault, null);
        },
      ),
    );
  });

  it("gives entries back by the CQ head doorbell, once for a batch", () => {
    const controller = new Controller(4);
    const queue = controller.open();
    for (let lap = 0; lap < 5; lap++) {
      submit(queue, 1);
      submit(queue, 2);
      queue.ring();
      for (const id of controller.fetch()) controller.complete(id);
      queue.next();
      queue.next();
      assert.equal(controller.cqHead, (2 * lap) % 4);
      queue.acknowledge();
      assert.equal(controller.cqHead, (2 * lap + 2) % 4);
    }
  });

  const bad: [string, (controller: Controller, id: number) => void][] = [
    ["a command id outside the queue", (c) => c.complete(c.depth)],
    ["the largest command id", (c) => c.complete(0xffff)],
    ["a command that is not in flight", (c, id) => c.complete((id + 1) % c.depth)],
    [
      "the same command a second time",
      (c, id) => {
        c.complete(id);
        c.complete(id);
      },
    ],
    ["a command of another queue", (c, id) => c.complete(id, { sqid: QID + 1 })],
    ["an SQ head outside the queue", (c, id) => c.complete(id, { sqHead: c.depth })],
    ["all ones", (c) => c.complete(0xffff, { sqid: -1, sqHead: 0xffff, status: 0x7fff })],
  ];
  for (const [what, misbehave] of bad)
    it(`reports a fault, for good, for a completion of ${what}`, () => {
      const controller = new Controller(8);
      const queue = controller.open();
      submit(queue, 5);
      queue.ring();
      misbehave(controller, controller.fetch()[0]!);
      while (queue.next() >= 0);
      assert.equal(queue.fault?.code, "BAD_COMPLETION");
      assert.equal(queue.fault.device, DEVICE);
      const first = queue.fault;
      assert.equal(queue.next(), -1);
      assert.equal(queue.fault, first);
    });

  it("survives whatever a device may write, and gives each cookie back at most once", () => {
    const word = fc.oneof(fc.integer(), fc.nat(0xf), fc.constant(-1), fc.constant(QID << 16));
    fc.assert(
      fc.property(
        fc.constantFrom(2, 4, 16),
        fc.nat(15),
        fc.array(fc.tuple(word, word, word, word), { minLength: 1, maxLength: 40 }),
        (depth, submits, entries) => {
          const controller = new Controller(depth);
          const queue = controller.open();
          const inFlight = new Set<number>();
          for (const [n, entry] of entries.entries()) {
            for (let i = 0; i < Math.min(submits, queue.free); i++) {
              submit(queue, 100 * n + i);
              inFlight.add(100 * n + i);
            }
            queue.ring();
            controller.cq.set(entry, (n % depth) * 4);
            for (let cookie = queue.next(); cookie >= 0; cookie = queue.next()) {
              assert.ok(inFlight.delete(cookie), `${cookie} came back, but is not in flight`);
              assert.ok(queue.status >= 0 && queue.status <= 0x7fff);
              queue.acknowledge();
            }
            assert.equal(queue.inFlight, inFlight.size);
            assert.equal(queue.free, depth - 1 - inFlight.size);
            assert.ok(controller.sqTail >= 0 && controller.sqTail < depth);
            assert.ok(controller.cqHead >= 0 && controller.cqHead < depth);
          }
        },
      ),
    );
  });

  it("names the command identifier of what is in flight, for Abort", () => {
    const controller = new Controller(8);
    const queue = controller.open();
    for (const cookie of [70, 71, 72]) submit(queue, cookie);
    queue.ring();
    const ids = controller.fetch();
    assert.deepEqual(
      [70, 71, 72].map((cookie) => queue.commandIdOf(cookie)),
      ids,
    );
    controller.complete(ids[1]!);
    queue.next();
    assert.deepEqual(
      [queue.commandIdOf(71), queue.commandIdOf(73), queue.commandIdOf(-1)],
      [-1, -1, -1],
    );
  });

  it("is as new after reset(), once the completion queue is zeroed", () => {
    const controller = new Controller(4);
    const queue = controller.open();
    for (let cookie = 0; cookie < 6; cookie++) {
      submit(queue, cookie);
      queue.ring();
      controller.complete(controller.fetch()[0]!);
      queue.next();
    }
    submit(queue, 6);
    controller.complete(0x7fff);
    assert.equal(queue.next(), -1);
    const next = new Controller(4);
    controller.cq.fill(0);
    controller.registers.fill(0);
    queue.reset();
    assert.deepEqual([queue.fault, queue.status, queue.free, queue.inFlight], [null, 0, 3, 0]);
    assert.equal(queue.next(), -1);
    assert.equal(queue.commandIdOf(6), -1);
    const fresh = next.open();
    for (const one of [queue, fresh]) {
      submit(one, 9);
      one.ring();
    }
    assert.deepEqual([...controller.sq.subarray(0, 16)], [...next.sq.subarray(0, 16)]);
    assert.equal(controller.sqTail, 1);
    controller.cq.set(next.cq);
    controller.cq.set([0, 0, (QID << 16) | 1, (controller.sq[0]! >>> 16) | (1 << 16)]);
    assert.equal(queue.next(), 9);
  });

  it("keeps the submission queue in memory of its own, which it never reads", () => {
    const controller = new Controller(4);
    const own = new ArrayBuffer(4096 + 4 * 64);
    const queue = new QueuePair(
      {
        ...controller.handle(),
        sqOffset: 4096,
      },
      {
        submission: { buffer: own, close: () => undefined },
        completion: controller.queues,
        doorbells: controller.doorbells,
        shadow: null,
      },
    );
    const words = new Int32Array(own, 4096);
    for (let n = 0; n < 10; n++) {
      words.fill(-1); // as a BAR that is not to be read may answer
      submit(queue, n);
      queue.ring();
      assert.equal(words[(n % 4) * 16]! & 0xffff, 2);
      controller.complete(words[(n % 4) * 16]! >>> 16, { sqHead: (n + 1) % 4 });
      assert.equal(queue.next(), n);
    }
    assert.ok(controller.sq.every((word) => word === 0));
  });

  it("has a depth that is a power of two", () => {
    for (const depth of [0, 1, 3, 48, 131072])
      assert.throws(() => new Controller(depth).open(), { code: "BAD_RANGE" });
  });

  it("reaches the last entry of the deepest queue", () => {
    const controller = new Controller(65536);
    const queue = controller.open();
    for (let n = 0; n < 65536 + 3; n++) {
      submit(queue, n);
      queue.ring();
      controller.complete(controller.fetch()[0]!);
      assert.equal(queue.next(), n);
    }
    queue.acknowledge();
    assert.deepEqual([controller.sqTail, controller.cqHead, queue.fault], [3, 3, null]);
    assert.equal(controller.sq[65535 * 16]! & 0xffff, 2);
  });

  it("closes both memories", () => {
    const controller = new Controller(2);
    controller.open().close();
    assert.equal(controller.closes, 2);
  });
});
