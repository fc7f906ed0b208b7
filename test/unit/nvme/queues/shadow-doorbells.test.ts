import assert from "node:assert/strict";
import fc from "fast-check";
import { ShadowDoorbells } from "#lib/nvme/queues/shadow-doorbells.js";
import { Capabilities } from "#lib/nvme/registers.js";
import { FakeController } from "../fake-controller.js";

const [SQ, CQ, SQ_EVENT, CQ_EVENT] = [0, 1, 2, 3];
const UNTOUCHED = -1;

const capabilities = (stride: number) => new Capabilities(0xff, stride);

describe("Shadow doorbells", () => {
  const make = (depth: number) => {
    const controller = new FakeController(depth);
    const queue = controller.open({ shadowed: true });
    const submit = (count: number) => {
      for (let n = 0; n < count; n++) queue.submit(2, 1, 0, 8, 0x1000, 0, 0, 0, n);
    };
    /** Rings, and tells whether the register was written. */
    const rings = (ring: () => void, register: number) => {
      controller.registers[register] = UNTOUCHED;
      ring();
      const value = controller.registers[register];
      return value === UNTOUCHED ? null : value;
    };
    return {
      controller,
      queue,
      submit,
      ring: () => rings(() => queue.ring(), 6),
      acknowledge: () => rings(() => queue.acknowledge(), 7),
    };
  };

  it("take each tail, and the register only the one that was asked for", () => {
    const { controller, submit, ring } = make(16);
    submit(2);
    assert.equal(ring(), 2, "EventIdx 0 asks for the first");
    assert.equal(controller.shadows[SQ], 2);
    submit(1);
    assert.equal(ring(), null);
    assert.equal(controller.shadows[SQ], 3);
    controller.shadows[SQ_EVENT] = 4;
    submit(1);
    assert.equal(ring(), null, "4 is not past 4");
    submit(3);
    assert.equal(ring(), 7);
    assert.equal(ring(), null, "nothing new");
  });

  it("do the same for the head of the completion queue", () => {
    const { controller, queue, submit, ring, acknowledge } = make(4);
    const turn = () => {
      submit(1);
      ring();
      controller.sqHead = 0;
      controller.complete(controller.sq[16 * ((controller.shadows[SQ]! + 3) % 4)]! >>> 16);
      assert.equal(queue.next(), 0);
      return acknowledge();
    };
    assert.deepEqual([turn(), turn(), turn(), turn()], [1, null, null, null]);
    assert.equal(controller.shadows[CQ], 0);
    controller.shadows[CQ_EVENT] = 1;
    assert.deepEqual([turn(), turn()], [null, 2]);
  });

  it("are followed by the register exactly where they pass EventIdx, all around the ring", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(2, 4, 8, 64),
        fc.array(fc.tuple(fc.nat(63), fc.nat(63)), { maxLength: 100 }),
        (depth, steps) => {
          const { controller, queue, submit, ring } = make(depth);
          let tail = 0;
          for (const [wanted, event] of steps) {
            controller.shadows[SQ_EVENT] = event % depth;
            const count = Math.min(wanted, queue.free);
            submit(count);
            const written = ring();
            const passed = Array.from({ length: count }, (_, n) => (tail + n) % depth);
            for (const at of passed) {
              controller.complete(controller.sq[16 * at]! >>> 16, { sqHead: at });
              assert.ok(queue.next() >= 0);
            }
            tail = (tail + count) % depth;
            assert.equal(written, passed.includes(event % depth) ? tail : null);
            assert.equal(controller.shadows[SQ], tail);
          }
        },
      ),
    );
  });

  it("are one page, which bounds the queue pairs", () => {
    assert.equal(ShadowDoorbells.maxQueuePairs(capabilities(0)), 512);
    assert.equal(ShadowDoorbells.maxQueuePairs(capabilities(4)), 32);
    assert.equal(ShadowDoorbells.maxQueuePairs(capabilities(15)), 0);
  });
});
