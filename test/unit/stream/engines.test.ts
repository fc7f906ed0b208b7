import assert from "node:assert/strict";
import fc from "fast-check";
import { HEADER_KIND, HEADER_LENGTH, HEADER_NUMBER, HeaderKind } from "#lib/stream/header.js";
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

/** What a source says that does wrong. */
interface Meddling {
  slot?: number;
  /** How often it says so. */
  times?: number;
  number?: number;
  length?: number;
  kind?: number;
  /** What its header says for the slot. */
  header?: number;
  /** Of the range. */
  first?: number;
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

  it("trust no source that sends a block again, or ends without one, where each comes once", () => {
    for (const [numbers, message] of [
      [[0, 1, 0], /sends block 0, which is not due/],
      // The last ones are not known to be written yet when they come again.
      [[0, 1, 2, 3, 3, 3], /sends block 3, which is not due|sends a word of kind/],
      [[0, 1, 2, 3], /sends a word of kind/],
    ] as const) {
      const model = new StreamModel({ ...plainStream, blocks: 5, lastUnits: 32 }, randomFrom(4));
      model.destinationJob.exactlyOnce = true;
      model.open();
      const [, to] = model.ends;
      model.read.next = () => -1;
      model.run();
      const say = (slot: number, kind: number, number: number, length: number): void => {
        to.headers.set([kind, slot, number, 0, length], 8 * slot);
        assert.ok(to.receive(slot));
        model.run();
      };
      for (const [index, number] of numbers.entries()) {
        if (model.run().isOver.destination) break;
        say(index % 4, HeaderKind.BLOCK, number, 32 * UNIT);
      }
      if (!model.run().isOver.destination) say(0, HeaderKind.END, numbers.length, 0);
      const { failure } = model.run().destination;
      assert.ok(failure?.kind === "error", numbers.join(" "));
      assert.equal(failure.code, "PEER_PROTOCOL");
      assert.match(failure.message, message);
    }
  });

  it("trust no source that runs too far ahead", () => {
    const model = new StreamModel({ ...plainStream, blocks: 5000 }, randomFrom(4));
    model.open();
    const [, to] = model.ends;
    model.read.next = () => -1;
    model.run();
    to.headers.set([HeaderKind.BLOCK, 1, 1024, 0, 32 * UNIT], 8);
    assert.ok(to.receive(1));
    const { failure } = model.run().destination;
    assert.ok(failure?.kind === "error");
    assert.match(failure.message, /sends block 1024, which is not due/);
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

  for (const [what, meddle, message] of [
    [
      "a slot that was not granted",
      { slot: 1, times: 2 },
      /has filled slot 1, which was not granted/,
    ],
    ["a slot that there is not", { slot: 9, times: 1 }, /has filled slot 9/],
    [
      "a block outside the range",
      { number: 40 },
      /sends block 40 of 16384 bytes, which the range does not have/,
    ],
    ["a block before the first", { number: 1, first: 2 }, /sends block 1 /],
    ["a block that is no number", { number: 2 ** 60 }, /sends block/],
    ["a block of another length", { length: 512 }, /sends block 3 of 512 bytes/],
    ["a last block that is too long", { number: 39 }, /sends block 39 of 16384 bytes/],
    ["a second begin", { kind: HeaderKind.BEGIN }, /sends a word of kind/],
    ["an end too early", { kind: HeaderKind.END, number: 7 }, /sends a word of kind/],
    ["an unknown word", { kind: 0x70 }, /sends a word of kind 112/],
    ["a header for another slot", { header: 2 }, /has no header for slot 1/],
  ] as const)
    it(`trust no source that sends ${what}`, () => {
      const { slot = 1, times = 1, number = 3, length = 32 * UNIT, ...more }: Meddling = meddle;
      const model = open({ first: more.first ?? 0 });
      const [, to] = model.ends;
      // What counts has begun, and the source says nothing by itself.
      model.read.next = () => -1;
      model.run();
      const at = 8 * Math.min(slot, 3);
      to.headers[at + HEADER_KIND] = more.kind ?? HeaderKind.BLOCK;
      to.headers[at + 1] = more.header ?? slot;
      to.headers[at + HEADER_NUMBER] = number;
      to.headers[at + HEADER_NUMBER + 1] = Math.floor(number / 2 ** 32);
      to.headers[at + HEADER_LENGTH] = length;
      for (let time = 0; time < times; time++) assert.ok(to.receive(slot));
      const { destination, isOver } = model.run();
      assert.equal(isOver.destination, true);
      assert.ok(destination.failure?.kind === "error");
      assert.equal(destination.failure.code, "PEER_PROTOCOL");
      assert.match(destination.failure.message, message);
      assert.equal(destination.blocks, 0);
    });

  for (const [what, slot] of [
    ["a slot that holds nothing", 3],
    ["a slot that there is not", 77],
  ] as const)
    it(`trust no destination that gives a credit for ${what}`, () => {
      const model = open();
      assert.ok(model.ends[0].receive(slot));
      const { source, isOver } = model.run();
      assert.equal(isOver.source, true);
      assert.ok(source.failure?.kind === "error");
      assert.equal(source.failure.code, "PEER_PROTOCOL");
      assert.match(source.failure.message, new RegExp(`gives a credit for slot ${slot}`));
    });
});
