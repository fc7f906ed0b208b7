import assert from "node:assert/strict";
import fc from "fast-check";
import { READ_QUEUE, WRITE_QUEUE } from "#lib/copy/job.js";
import {
  FIRST_DESTINATION_UNIT,
  FIRST_SOURCE_UNIT,
  Model,
  plain,
  randomFrom,
  READ,
  UNIT,
  WRITE,
} from "../../support/copy-model.js";
import { withFakeClock } from "../../support/fake-clock.js";

describe("the copy engine", () => {
  it("copies each block once to its place, however it is split and whatever finishes first", () => {
    const blockSizes = fc.constantFrom(1, 8);
    const shapes = fc
      .record({
        blocks: fc.integer({ min: 1, max: 40 }),
        eights: fc.integer({ min: 1, max: 12 }),
        lastEights: fc.integer({ min: 1, max: 12 }),
        slots: fc.integer({ min: 1, max: 9 }),
        sourceBlockUnits: blockSizes,
        destinationBlockUnits: blockSizes,
        sourceEights: fc.integer({ min: 1, max: 13 }),
        destinationEights: fc.integer({ min: 1, max: 13 }),
      })
      .filter(({ eights, lastEights }) => lastEights <= eights)
      .map(({ eights, lastEights, sourceEights, destinationEights, ...rest }) => ({
        ...rest,
        blockUnits: eights * 8,
        lastUnits: lastEights * 8,
        sourceCommandUnits: sourceEights * 8,
        destinationCommandUnits: destinationEights * 8,
      }));
    fc.assert(
      fc.property(shapes, fc.integer(), (shape, seed) => {
        const model = new Model(shape, randomFrom(seed));
        const outcome = model.run();
        const units = (shape.blocks - 1) * shape.blockUnits + shape.lastUnits;
        model.assertCopied(units);
        model.assertDrained();
        assert.equal(outcome.failure, null);
        assert.equal(outcome.bytes, units * UNIT);
        assert.equal(outcome.blocks, shape.blocks);
        assert.equal(model.latency.count, shape.blocks);
        assert.equal(model.control.bytes, outcome.bytes);
        assert.equal(model.handoff.moved.length, shape.blocks);
        assert.ok(outcome.busyNs > 0 && outcome.endedNs > outcome.beganNs);
      }),
    );
  });

  it("never has more blocks in flight than slots, and rings once for a batch", () => {
    const model = new Model({ ...plain, sourceCommandUnits: 32 }, randomFrom(3));
    let most = 0;
    const { read, write } = model;
    const ring = read.ring.bind(read);
    read.ring = () => {
      ring();
      most = Math.max(most, read.outstanding + write.outstanding);
    };
    model.run();
    assert.equal(most, plain.slots);
    assert.ok(read.rings < plain.blocks && write.rings < plain.blocks);
  });

  it("hands a batch on before it submits the batch's writes", () => {
    const model = new Model(plain, randomFrom(5));
    let moved = 0;
    model.handoff.move = (_slots, count) => {
      moved += count;
    };
    const submit = model.write.submit.bind(model.write);
    let written = 0;
    model.write.submit = (...words) => {
      submit(...words);
      written++;
      assert.ok(written <= moved);
    };
    model.run();
    assert.equal(written, plain.blocks);
  });

  for (const [side, opcode, first] of [
    ["read", READ, FIRST_SOURCE_UNIT],
    ["write", WRITE, FIRST_DESTINATION_UNIT],
  ] as const)
    it(`stops at a ${side} that fails, drains, and says which command it was`, () => {
      const model = new Model({ ...plain, destinationCommandUnits: 8 }, randomFrom(9));
      const bad = first + 17 * plain.blockUnits + 16;
      model.statusOf.set(bad, 0x281);
      const outcome = model.run();
      assert.deepEqual(outcome.failure, {
        kind: "status",
        queue: opcode === READ ? READ_QUEUE : WRITE_QUEUE,
        status: 0x281,
        command: opcode === READ ? "Read" : "Write",
        lba: bad,
        blocks: 8,
      });
      assert.ok(outcome.blocks < plain.blocks);
      model.assertDrained();
    });

  it("does not write a batch in which a read failed", () => {
    const model = new Model({ ...plain, blocks: 1 }, randomFrom(9));
    model.statusOf.set(FIRST_SOURCE_UNIT + 8, 0x281);
    model.run();
    assert.equal(model.destination.size, 0);
    assert.deepEqual(model.handoff.moved, []);
  });

  it("finishes what is in flight when it is told to stop, and begins nothing more", () => {
    const model = new Model(plain, randomFrom(11));
    const submit = model.write.submit.bind(model.write);
    model.write.submit = (...words) => {
      submit(...words);
      model.control.stop();
    };
    const outcome = model.run();
    model.assertDrained();
    assert.equal(outcome.blocks, plain.slots);
    assert.equal(model.destination.size, plain.slots * plain.blockUnits);
  });

  it("begins nothing when it was told to stop before", () => {
    const model = new Model(plain, randomFrom(11));
    model.control.stop();
    assert.equal(model.run().blocks, 0);
    assert.equal(model.read.log.length, 0);
  });

  it("goes through the range as often as it is told, from its start, after a ramp too", () => {
    for (const rampNs of [0, 2e6]) {
      const shape = { ...plain, blocks: 5, lastUnits: 8 };
      const model = new Model(shape, randomFrom(19));
      Object.assign(model.job, { loops: 3, rampNs });
      let ramped = 0;
      model.rampEnded = () => {
        model.assertDrained();
        ramped = model.write.taken;
      };
      const outcome = model.run();
      assert.equal(outcome.blocks, 15);
      assert.equal(outcome.bytes, 3 * (4 * 32 + 8) * UNIT);
      assert.equal(model.latency.count, 15);
      assert.equal(model.control.bytes, outcome.bytes);
      assert.equal(model.write.taken - ramped, 15);
      assert.equal(ramped > 0, rampNs > 0);
      assert.equal(outcome.rampBytes > 0, rampNs > 0);
    }
  });

  it("goes no further than its ramp where a command fails in it", () => {
    const model = new Model(plain, randomFrom(9));
    Object.assign(model.job, { rampNs: 1e12 });
    model.rampEnded = () => assert.fail("what counts does not begin");
    model.statusOf.set(FIRST_SOURCE_UNIT + 32, 0x281);
    const { failure, blocks, bytes } = model.run();
    assert.equal(failure?.kind, "status");
    assert.deepEqual([blocks, bytes], [0, 0]);
  });

  it("spaces the begins of its blocks as it is told, by the clock", () => {
    const model = new Model({ ...plain, blocks: 50 }, randomFrom(23));
    Object.assign(model.job, { spacingNs: 1e6 });
    const begins: bigint[] = [];
    const submit = model.read.submit.bind(model.read);
    // Each look at the clock takes 10 us, and once the thread is kept from running for 20 ms.
    withFakeClock(10_000, (pass) => {
      model.read.submit = (...words) => {
        submit(...words);
        if (words[2]! % plain.blockUnits !== FIRST_SOURCE_UNIT % plain.blockUnits) return;
        begins.push(process.hrtime.bigint());
        if (begins.length === 20) pass(20_000_000);
      };
      assert.equal(model.run().blocks, 50);
    });
    const gaps = begins.slice(1).map((begin, n) => Number(begin - begins[n]!));
    assert.equal(gaps.length, 49);
    // Less only by what the one before was late.
    assert.ok(Math.min(...gaps) > 0.9e6, `${Math.min(...gaps)} ns`);
    assert.equal(gaps.filter((gap) => gap > 1.1e6).length, 1, "what was missed is not made up for");
    model.assertDrained();
  });

  it("records no latency where none is wanted", () => {
    const model = new Model(plain, randomFrom(9));
    Object.assign(model.job, { recordsLatency: false });
    assert.equal(model.run().blocks, plain.blocks);
    assert.equal(model.latency.count, 0);
  });

  it("goes through the range again and again until the time is over", () => {
    const shape = { ...plain, blocks: 5, lastUnits: 8 };
    const model = new Model(shape, randomFrom(13), 5e6);
    // Each look at the clock takes 10 us, so that the time is over after some 500 of them.
    const outcome = withFakeClock(10_000, () => model.run());
    assert.ok(outcome.endedNs - outcome.beganNs >= 5e6);
    assert.ok(outcome.blocks > 10, `${outcome.blocks} blocks`);
    model.assertCopied(4 * 32 + 8);
    model.assertDrained();
    assert.equal(model.latency.count, outcome.blocks);
  });
});
