import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { MANY } from "#lib/verify/writers.js";
import { FIRST_LBA, Model } from "./engine-model.js";

const READ = 2;
const WRITE = 1;

describe("the perf engine", () => {
  it("submits whole I/Os inside the range, however they are split, and counts each once", () => {
    const shapes = fc.record({
      isRandom: fc.boolean(),
      readPercent: fc.constantFrom(0, 30, 100),
      ios: fc.integer({ min: 1, max: 50 }),
      ioBlocks: fc.integer({ min: 1, max: 20 }),
      commandBlocks: fc.integer({ min: 1, max: 20 }),
      lanes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
      runtimeNs: fc.constant(2e5),
      seed: fc.integer(),
    });
    fc.assert(
      fc.property(shapes, (changes) => {
        const commandBlocks = Math.min(changes.commandBlocks, changes.ioBlocks);
        const model = new Model({ ...changes, commandBlocks });
        const { failure, beganNs, endedNs, busyNs } = model.run();
        assert.equal(failure, null);
        model.assertDrained();
        assert.ok(endedNs > beganNs && busyNs > 0);
        const { ioBlocks } = changes;
        const commands = Math.ceil(ioBlocks / commandBlocks);
        const shift = Math.ceil(Math.log2(commands));
        let firstSlot = 0;
        model.queues.forEach(({ log, most }, lane) => {
          assert.equal(most, changes.lanes[lane]! * commands, "the slots are kept full");
          for (let i = 0; i < log.length; i += commands) {
            const io = log.slice(i, i + commands);
            const first = io[0]!.lba - FIRST_LBA;
            assert.equal(first % ioBlocks, 0);
            assert.ok(first >= 0 && first / ioBlocks < changes.ios, `I/O ${first / ioBlocks}`);
            io.forEach(({ opcode, nsid, lba, blocks, prp1, cookie }, n) => {
              assert.deepEqual([opcode, nsid], [io[0]!.opcode, 7]);
              assert.equal(lba, io[0]!.lba + n * commandBlocks);
              assert.equal(blocks, Math.min(commandBlocks, ioBlocks - n * commandBlocks));
              const slot = (cookie >> shift) - firstSlot;
              assert.equal(prp1, slot * commands + n, "each command has its slot's memory");
            });
          }
          firstSlot += changes.lanes[lane]!;
        });
        assert.equal(model.count * commands, model.log.length);
      }),
      { numRuns: 60 },
    );
  });

  it("goes through the range in order, over all queue pairs, and begins again at its start", () => {
    const model = new Model({ isRandom: false, ios: 7, lanes: [1], runtimeNs: 1e12 });
    model.runUntil(50);
    const places = model.log.map(({ lba }) => (lba - FIRST_LBA) / 8);
    assert.ok(places.length > 14);
    assert.deepEqual(
      places,
      places.map((_, n) => n % 7),
    );
    const both = new Model({ isRandom: false, ios: 1e6, lanes: [2, 3], runtimeNs: 1e12 });
    both.runUntil(500);
    const all = both.log.map(({ lba }) => (lba - FIRST_LBA) / 8).sort((a, b) => a - b);
    assert.deepEqual(
      all,
      all.map((_, n) => n),
      "no I/O twice, none left out",
    );
  });

  it("mixes reads and writes in the share that was asked for, and counts them apart", () => {
    const model = new Model({ readPercent: 70, runtimeNs: 1e12 });
    model.runUntil(4000);
    const ops = model.log.map(({ opcode }) => opcode);
    assert.deepEqual([...new Set(ops)].sort(), [WRITE, READ]);
    const share = ops.filter((opcode) => opcode === READ).length / ops.length;
    assert.ok(ops.length > 3000 && Math.abs(share - 0.7) < 0.05, `${share} of ${ops.length}`);
    assert.equal(model.reads.count, ops.filter((opcode) => opcode === READ).length);
    assert.equal(model.writes.count, ops.filter((opcode) => opcode === WRITE).length);
  });

  it("says from which slot each I/O was written that is to be verified, and reads elsewhere", () => {
    const model = new Model({
      ...{ isMarked: true, readPercent: 30, ios: 300, lanes: [3, 5], rampNs: 1e5 },
      ...{ ioBlocks: 8, commandBlocks: 3, runtimeNs: 1e12 },
    });
    model.runUntil(900);
    assert.ok(model.ramped > 0, "the ramp's writes are there too");
    const written = new Map<number, number[]>();
    model.queues.forEach(({ log }, lane) => {
      const slots = model.shape.lanes[lane]!;
      for (const { opcode, lba, prp1, cookie } of log.filter((_, n) => n % 3 === 0)) {
        const slot = (cookie >> 2) - (lane === 0 ? 0 : 3);
        assert.equal(prp1, 3 * (opcode === READ ? slots + slot : slot));
        if (opcode === READ) continue;
        const io = (lba - FIRST_LBA) / 8;
        written.set(io, [...(written.get(io) ?? []), 100 * lane + slot + 1]);
      }
    });
    const counts = [...written.values()].map(({ length }) => length);
    assert.ok(counts.includes(1) && counts.some((count) => count > 1) && written.size < 300);
    assert.deepEqual(
      [...model.writers!],
      Array.from({ length: 300 }, (_, io) => {
        const [mark, ...others] = written.get(io) ?? [0];
        return others.length === 0 ? mark : MANY;
      }),
    );
  });

  it("goes to the same places with the same seed, to others with another", () => {
    const places = (seed: number): number[] => {
      const model = new Model({ seed, lanes: [1], runtimeNs: 1e12 });
      model.runUntil(20);
      return model.log.slice(0, 20).map(({ lba }) => lba);
    };
    assert.deepEqual(places(3), places(3));
    assert.notDeepEqual(places(3), places(4));
  });

  it("rings once for a batch, and gives completions back some at a time", () => {
    const model = new Model({ lanes: [16], runtimeNs: 1e12 });
    model.runUntil(1000);
    const [queue] = model.queues;
    assert.ok(queue!.rings < model.count / 1.2, `${queue!.rings} doorbells, ${model.count} I/Os`);
    assert.ok(queue!.acknowledgements <= model.count / 10);
    assert.ok(queue!.mostUnacknowledged >= 10 && queue!.mostUnacknowledged < 10 + 16);
  });

  it("counts nothing of the ramp, which it waits for, and all of what comes after it", () => {
    const model = new Model({ rampNs: 3e6, runtimeNs: 3e6 });
    const { beganNs, endedNs, busyNs, ios } = model.run();
    assert.ok(endedNs - beganNs >= 3e6);
    assert.ok(busyNs <= endedNs - beganNs);
    assert.ok(model.ramped > 0);
    assert.equal(model.count, model.log.length - model.ramped);
    assert.deepEqual(ios, [{ reads: model.count, writes: 0 }]);
    assert.equal(model.control.bytes, model.count * 4096);
  });

  it("goes no further than its ramp when it is told to stop meanwhile", () => {
    const model = new Model({ rampNs: 1e12, runtimeNs: 1e12 });
    const { ios, failure } = model.runUntil(50);
    assert.equal(failure, null);
    assert.equal(model.ramped, 0);
    assert.deepEqual(ios, [{ reads: 0, writes: 0 }]);
    model.assertDrained();
  });

  it("goes no further than its ramp where it was told to stop while it waited for others there", () => {
    const model = new Model({ rampNs: 1e6, runtimeNs: 1e12 });
    model.rampEnded = () => {
      model.control.stop();
    };
    const { ios, failure } = model.run();
    assert.equal(failure, null);
    assert.ok(model.ramped > 0);
    assert.equal(model.log.length, model.ramped, "nothing was begun after it");
    assert.deepEqual(ios, [{ reads: 0, writes: 0 }]);
  });

  for (const isRandom of [true, false])
    it(`does as many I/Os as it is told, ${isRandom ? "anywhere" : "in order"}, after a ramp too`, () => {
      for (const rampNs of [0, 1e6]) {
        const model = new Model({
          isRandom,
          ios: 7,
          work: 21,
          lanes: [2, 3],
          rampNs,
          runtimeNs: null,
        });
        const { ios } = model.run();
        assert.deepEqual(ios, [{ reads: 21, writes: 0 }]);
        const counted = model.queues.flatMap(({ log }) => log).length - model.ramped;
        assert.equal(counted, 21);
        assert.equal(model.ramped > 0, rampNs > 0);
      }
    });

  it("records no latency where none is wanted, and counts its I/Os all the same", () => {
    const model = new Model({ recordsLatency: false, readPercent: 50, work: 500, runtimeNs: null });
    const [{ reads, writes }] = model.run().ios as [{ reads: number; writes: number }];
    assert.equal(model.count, 0);
    assert.ok(reads > 100 && writes > 100);
    assert.equal(reads + writes, 500);
  });

  it("stops at a command that fails, drains, and says which it was", () => {
    const model = new Model({ ioBlocks: 24, isRandom: false, readPercent: 0, runtimeNs: 1e12 });
    model.queues[0]!.perform = ({ lba }) => (lba === FIRST_LBA + 24 * 9 + 8 ? 0x280 : 0);
    const { failure } = model.run();
    const command = { command: "Write", lba: FIRST_LBA + 24 * 9 + 8, blocks: 8 };
    assert.deepEqual(failure, { kind: "status", queue: 0, status: 0x280, ...command });
    model.assertDrained();
    assert.ok(model.log.length <= 3 * (9 + 1 + 2 * 4), "nothing was begun after it");
  });

  it("finishes what is in flight when it is told to stop, and begins nothing more", () => {
    const model = new Model({ runtimeNs: 1e12 });
    model.runUntil(50);
    model.assertDrained();
    assert.equal(model.count, model.log.length);
  });

  it("begins nothing when it was told to stop before", () => {
    const model = new Model();
    model.control.stop();
    assert.equal(model.run().failure, null);
    assert.equal(model.log.length, 0);
  });

  it("gives up on a queue that has seen a bad completion, and drains the others", () => {
    const model = new Model({ lanes: [2, 2], runtimeNs: 1e12 });
    const [good, bad] = model.queues;
    bad!.next = () => {
      bad!.fault = new P2pError("BAD_COMPLETION", "command id 77", { hint: "reset" });
      return -1;
    };
    const [message, hint] = ["command id 77", "reset"];
    assert.deepEqual(model.run().failure, { kind: "fault", queue: 1, message, hint });
    assert.equal(good!.outstanding, 0);
  });

  it("waits no more for a queue that its owner says is lost", () => {
    const model = new Model({ lanes: [2, 2], runtimeNs: 1e12 });
    const [good, silent] = model.queues;
    silent!.next = () => -1;
    good!.polled = () => {
      if (good!.log.length === 30) model.control.lose(1);
    };
    assert.deepEqual(model.run().failure, { kind: "lost", queue: 1 });
    assert.equal(good!.outstanding, 0);
  });

  it("can be driven step by step", () => {
    const model = new Model({ runtimeNs: 1e6 });
    model.engine.start();
    assert.equal(model.log.length, 4);
    do model.engine.poll();
    while (!model.engine.isDone);
    assert.equal(model.engine.poll(), false);
    model.assertDrained();
    assert.equal(model.count, model.log.length);
  });
});
