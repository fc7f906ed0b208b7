/** An end of a stream whose other end says what it must not. */
import assert from "node:assert/strict";
import { HEADER_KIND, HEADER_LENGTH, HEADER_NUMBER, HeaderKind } from "#lib/stream/header.js";
import { randomFrom, UNIT } from "../../support/copy-model.js";
import { plainStream, StreamModel, type StreamShape } from "../../support/stream-model.js";

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

describe("the engines of a stream", () => {
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
