import assert from "node:assert/strict";
import fc from "fast-check";
import { randomFrom, UNIT } from "../../support/copy-model.js";
import {
  DESTINATION_UNIT,
  plainStream,
  SOURCE_UNIT,
  StreamModel,
  type StreamShape,
} from "../../support/stream-model.js";

function open(changes: Partial<StreamShape> = {}, seed = 3): StreamModel {
  return new StreamModel({ ...plainStream, ...changes }, randomFrom(seed)).open();
}

const unitsOf = ({ blocks, blockUnits, lastUnits }: StreamShape): number =>
  (blocks - 1) * blockUnits + lastUnits;

describe("the engines of a stream", () => {
  it("bring each block to its place once, whatever finishes first, and say how many", () => {
    const shapes = fc
      .record({
        blocks: fc.integer({ min: 1, max: 80 }),
        blockUnits: fc.integer({ min: 1, max: 40 }),
        lastUnits: fc.integer({ min: 1, max: 40 }),
        sourceSlots: fc.integer({ min: 1, max: 9 }),
        destinationSlots: fc.integer({ min: 1, max: 9 }),
        commandUnits: fc.integer({ min: 1, max: 41 }),
        first: fc.integer({ min: 0, max: 80 }),
      })
      .filter(({ blockUnits, lastUnits }) => lastUnits <= blockUnits)
      .filter(({ first, blocks }) => first <= blocks);
    fc.assert(
      fc.property(shapes, fc.integer(), (shape, seed) => {
        const model = new StreamModel({ ...plainStream, ...shape }, randomFrom(seed));
        model.destinationJob.exactlyOnce = seed % 2 === 0;
        const { source, destination, isOver } = model.open().run();
        assert.deepEqual([source.failure, destination.failure], [null, null]);
        assert.deepEqual(isOver, { source: true, destination: true });
        const { first, blocks, blockUnits } = shape;
        const units = unitsOf(shape);
        const from = Math.min(units, first * blockUnits);
        model.assertCopied(units, from);
        for (const { bytes, blocks: count } of [source, destination]) {
          assert.equal(bytes, (units - from) * UNIT);
          assert.equal(count, blocks - first);
        }
        assert.equal(model.writtenBlocks, blocks);
        for (const latency of model.latency) assert.equal(latency.count, blocks - first);
        assert.ok(model.read.idle && model.write.idle);
        assert.equal(model.read.acknowledged, model.read.taken);
        assert.equal(model.write.acknowledged, model.write.taken);
        const [end] = model.ends;
        assert.ok(end.barriers <= blocks - first);
      }),
    );
  });

  it("send a block only where its slot at the other end is free", () => {
    const model = open({ blocks: 200, sourceSlots: 3, destinationSlots: 3 });
    const [, sink] = model.ends;
    let most = 0;
    const submit = model.write.submit.bind(model.write);
    model.write.submit = (...words) => {
      submit(...words);
      most = Math.max(most, model.write.outstanding);
    };
    model.run();
    assert.ok(most > plainStream.blockUnits / plainStream.commandUnits, `${most} at once`);
    assert.ok(most <= 3 * (plainStream.blockUnits / plainStream.commandUnits));
    // A credit for each block and two words, several by one call.
    assert.ok(sink.posts < 202, `${sink.posts} calls`);
  });

  it("read again into a slot only when the NIC is done with it, and not at the credit alone", () => {
    const model = open({ blocks: 8, sourceSlots: 1, destinationSlots: 1 });
    const [from] = model.ends;
    const complete = from.complete.bind(from);
    let held: (() => void) | null = null;
    from.complete = (number, tag, status, immediate) => {
      const act = (): void => {
        complete(number, tag, status, immediate);
      };
      // Of the third header the credit comes first.
      if (model.read.taken === 12 && immediate === undefined && held === null) held = act;
      else act();
    };
    const first = model.run();
    assert.equal(first.isOver.source, false);
    assert.equal(model.read.log.length, 12);
    held!();
    const { source, destination, isOver } = model.run();
    assert.deepEqual(isOver, { source: true, destination: true });
    assert.equal(source.blocks, 8);
    assert.equal(destination.blocks, 8);
  });

  it("let the other end run as soon as they wait for it, where both are on one machine", () => {
    const yieldsOf = (yieldsAtOnce: boolean): { yields: number; polls: number } => {
      const model = new StreamModel({ ...plainStream, blocks: 200 }, randomFrom(7));
      model.sourceJob.yieldsAtOnce = yieldsAtOnce;
      let yields = 0;
      model.open(() => {
        yields++;
        if (model.sink.isDone) model.sink.goOn();
        else model.sink.poll();
      });
      assert.equal(model.source.run().blocks, 200);
      return { yields, polls: model.ends[0].polls };
    };
    const local = yieldsOf(true);
    const remote = yieldsOf(false);
    assert.ok(local.polls < 10 * local.yields, `${local.yields} yields in ${local.polls} polls`);
    assert.ok(remote.polls > 500 * remote.yields, `${remote.yields} in ${remote.polls}`);
  });

  it("count what comes after the ramp alone, at both ends", () => {
    const model = new StreamModel({ ...plainStream, blocks: 5 }, randomFrom(19));
    Object.assign(model.sourceJob, { rampNs: 3e6, loops: 2 });
    model.open();
    let ramped = -1;
    model.rampEnded = () => {
      assert.equal(model.write.outstanding, 0);
      ramped = model.write.taken;
    };
    const { source, destination } = model.run();
    assert.ok(ramped > 0, "there was a ramp");
    const bytes = 2 * unitsOf({ ...plainStream, blocks: 5 }) * UNIT;
    for (const outcome of [source, destination]) {
      assert.equal(outcome.blocks, 10);
      assert.equal(outcome.bytes, bytes);
      assert.ok(outcome.rampBytes > 0);
    }
    for (const latency of model.latency) assert.equal(latency.count, 10);
  });

  it("say how many blocks are written from the begin on, and not beyond a gap", () => {
    const model = open({ blocks: 70, first: 33 });
    assert.equal(model.writtenBlocks, 33);
    // One block takes long, others do not.
    model.write.stuck.add(DESTINATION_UNIT + 40 * plainStream.blockUnits);
    model.run();
    assert.equal(model.writtenBlocks, 40);
    assert.ok(model.destination.size > 8 * plainStream.blockUnits);
    model.write.release(model.write.idOf(model.write.hanging[0]!));
    const { isOver } = model.run();
    assert.deepEqual(isOver, { source: true, destination: true });
    assert.equal(model.writtenBlocks, 70);
  });

  it("run no further ahead of a missing block than can be remembered, and go on when it comes", () => {
    const model = new StreamModel({ ...plainStream, blocks: 300 }, randomFrom(5));
    model.destinationJob.ahead = 64;
    model.open();
    // The other slots could go on for ever.
    model.read.stuck.add(SOURCE_UNIT + 40 * plainStream.blockUnits);
    const held = model.run();
    assert.deepEqual(held.isOver, { source: false, destination: false });
    assert.equal(model.writtenBlocks, 40);
    const blocks = held.destination.blocks;
    assert.ok(blocks >= 100 && blocks < 40 + 64, `${blocks} blocks`);
    model.read.release(model.read.idOf(model.read.hanging[0]!));
    const { isOver, destination } = model.run();
    assert.deepEqual(isOver, { source: true, destination: true });
    assert.equal(destination.failure, null);
    assert.equal(model.writtenBlocks, 300);
    model.assertCopied(unitsOf({ ...plainStream, blocks: 300 }));
  });

  it("end with the failure of a read, and send nothing of it", () => {
    const model = open();
    model.statusOf.set(SOURCE_UNIT + 17 * plainStream.blockUnits + 8, 0x281);
    const { source, isOver } = model.run();
    assert.equal(isOver.source, true);
    assert.equal(isOver.destination, false, "its owner has to end it");
    assert.deepEqual(source.failure, {
      ...{ kind: "status", queue: 0, status: 0x281, command: "Read" },
      ...{ lba: SOURCE_UNIT + 17 * plainStream.blockUnits + 8, blocks: 8 },
    });
    assert.equal(model.destination.has(DESTINATION_UNIT + 17 * plainStream.blockUnits), false);
    model.controls[1].halt();
    assert.equal(model.run().isOver.destination, true);
    assert.ok(model.writtenBlocks <= 17);
  });

  it("end with the failure of a write, and give no credit for it", () => {
    const model = open({ first: 20 });
    model.statusOf.set(DESTINATION_UNIT + 29 * plainStream.blockUnits, 0x280);
    const { destination, isOver } = model.run();
    assert.deepEqual(isOver, { source: false, destination: true });
    assert.deepEqual(destination.failure, {
      ...{ kind: "status", queue: 0, status: 0x280, command: "Write" },
      ...{ lba: DESTINATION_UNIT + 29 * plainStream.blockUnits, blocks: 8 },
    });
    assert.ok(model.writtenBlocks <= 29);
  });

  it("end at once where the other end is gone, and say which request that was", () => {
    const model = open();
    model.isCut = true;
    model.run();
    const [from, to] = model.ends;
    from.fail(12);
    const { source, isOver } = model.run();
    assert.equal(isOver.source, true);
    assert.equal(source.failure?.kind, "error");
    assert.deepEqual(source.wireError, {
      ...{ status: 12, vendorError: 0, what: "a word to the other end of the stream" },
    });
    // A flushed receive tells nothing of its own.
    to.fail(10);
    const { destination } = model.run();
    assert.equal(destination.wireError!.status, 5);
  });

  it("keep the status that tells most, whichever comes first", () => {
    const model = open();
    const [from] = model.ends;
    model.isCut = true;
    model.run();
    for (const number of from.granted.splice(0)) from.complete(number, 0, 5);
    for (const { id, tag } of from.requests.splice(0)) from.complete(id, tag, 10);
    assert.equal(model.run().source.wireError!.status, 10);
  });

  it("finish what the device has in flight when they are halted, and take a flush for no failure", () => {
    const model = open({ blocks: 4000 });
    let polls = 0;
    model.write.polled = () => {
      if (++polls !== 300) return;
      for (const control of model.controls) control.halt();
      for (const end of model.ends) end.fail(5);
      model.isCut = true;
    };
    const { source, destination, isOver } = model.run();
    assert.deepEqual(isOver, { source: true, destination: true });
    assert.deepEqual([source.failure, destination.failure], [null, null]);
    assert.ok(model.read.idle && model.write.idle);
    assert.ok(destination.blocks < 4000);
    assert.ok(model.writtenBlocks >= destination.blocks - plainStream.destinationSlots);
  });
});
