import assert from "node:assert/strict";
import fc from "fast-check";
import { CopyEngine } from "#lib/copy/engine.js";
import type { Handoff } from "#lib/copy/handoff.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import type { BlockShape, CopyJob, SideJob } from "#lib/copy/job.js";
import { P2pError } from "#lib/errors.js";
import type { QueuePair } from "#lib/nvme/queues/queue-pair.js";

/** All lengths of the model are in units of 512 bytes. */
const UNIT = 512;
const READ = 2;
const WRITE = 1;
const FIRST_SOURCE_UNIT = 800;
const FIRST_DESTINATION_UNIT = 1600;

interface Command {
  opcode: number;
  unit: number;
  units: number;
  address: number;
  cookie: number;
}

interface Shape {
  blocks: number;
  blockUnits: number;
  lastUnits: number;
  slots: number;
  sourceBlockUnits: number;
  destinationBlockUnits: number;
  sourceCommandUnits: number;
  destinationCommandUnits: number;
}

/** A device that completes what was rung for, in an order of its own, a few at a time. */
class ModelQueue {
  status = 0;
  fault: P2pError | null = null;
  outstanding = 0;
  readonly log: Command[] = [];
  rings = 0;
  acknowledged = 0;
  taken = 0;
  readonly #submitted: Command[] = [];
  readonly #rung: Command[] = [];
  readonly #blockUnits: number;
  readonly #perform: (command: Command) => number;
  readonly #random: () => number;

  constructor(blockUnits: number, random: () => number, perform: (command: Command) => number) {
    this.#blockUnits = blockUnits;
    this.#random = random;
    this.#perform = perform;
  }

  get inFlight(): number {
    return this.outstanding;
  }

  submit(...words: number[]): void {
    const [opcode, nsid, lba, blocks, prp1Lo, prp1Hi, prp2Lo, prp2Hi, cookie] = words;
    assert.equal(nsid, 7);
    assert.deepEqual([prp1Hi, prp2Lo, prp2Hi], [11, 12, 13], "PRP words in their places");
    assert.ok(blocks! > 0);
    this.#submitted.push({
      opcode: opcode!,
      unit: lba! * this.#blockUnits,
      units: blocks! * this.#blockUnits,
      address: prp1Lo!,
      cookie: cookie!,
    });
    this.outstanding++;
  }

  ring(): void {
    assert.ok(this.#submitted.length > 0, "a doorbell for nothing");
    this.rings++;
    this.#rung.push(...this.#submitted.splice(0));
  }

  next(): number {
    if (this.#rung.length === 0 || this.#random() < 0.4) return -1;
    const [command] = this.#rung.splice(Math.floor(this.#random() * this.#rung.length), 1);
    this.log.push(command!);
    this.status = this.#perform(command!);
    this.outstanding--;
    this.taken++;
    return command!.cookie;
  }

  acknowledge(): void {
    this.acknowledged = this.taken;
  }

  get idle(): boolean {
    return this.#submitted.length === 0 && this.#rung.length === 0;
  }
}

class ModelHandoff implements Handoff {
  readonly moved: number[] = [];
  move(slots: Int32Array, count: number): void {
    this.moved.push(...slots.subarray(0, count));
  }
  close(): void {
    assert.fail("not the engine's to close");
  }
}

function shapeOf(
  slots: number,
  slotUnits: number,
  units: number,
  blockUnits: number,
  commandUnits: number,
): BlockShape {
  const words: number[] = [];
  for (let slot = 0; slot < slots; slot++)
    for (let at = 0; at < units; at += commandUnits) words.push(slot * slotUnits + at, 11, 12, 13);
  return { blocks: units / blockUnits, pointers: Int32Array.from(words) };
}

function sideOf(shape: Shape, opcode: number, firstUnit: number): SideJob {
  const blockUnits = opcode === READ ? shape.sourceBlockUnits : shape.destinationBlockUnits;
  const commandUnits = opcode === READ ? shape.sourceCommandUnits : shape.destinationCommandUnits;
  const of = (units: number): BlockShape =>
    shapeOf(shape.slots, shape.blockUnits, units, blockUnits, commandUnits);
  return {
    queue: {} as SideJob["queue"],
    opcode,
    nsid: 7,
    lba: firstUnit / blockUnits,
    commandBlocks: commandUnits / blockUnits,
    whole: of(shape.blockUnits),
    last: of(shape.lastUnits),
  };
}

/** A run over a model of both devices and of the memory between them. */
class Model {
  readonly memory = new Map<number, number>();
  readonly destination = new Map<number, number>();
  readonly control = new ControlBlock();
  readonly latency = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
  readonly handoff = new ModelHandoff();
  readonly read: ModelQueue;
  readonly write: ModelQueue;
  readonly job: CopyJob;
  /** Status of a command, by its first unit. */
  readonly statusOf = new Map<number, number>();

  constructor(shape: Shape, random: () => number, runtimeNs: number | null = null) {
    this.read = new ModelQueue(shape.sourceBlockUnits, random, (command) => {
      assert.equal(command.opcode, READ);
      for (let i = 0; i < command.units; i++)
        this.memory.set(command.address + i, command.unit + i);
      return this.statusOf.get(command.unit) ?? 0;
    });
    this.write = new ModelQueue(shape.destinationBlockUnits, random, (command) => {
      assert.equal(command.opcode, WRITE);
      for (let i = 0; i < command.units; i++)
        this.destination.set(command.unit + i, this.memory.get(command.address + i)!);
      return this.statusOf.get(command.unit) ?? 0;
    });
    this.job = {
      read: sideOf(shape, READ, FIRST_SOURCE_UNIT),
      write: sideOf(shape, WRITE, FIRST_DESTINATION_UNIT),
      handoff: { kind: "none" },
      slots: shape.slots,
      blockBytes: shape.blockUnits * UNIT,
      lastBlockBytes: shape.lastUnits * UNIT,
      rangeBlocks: shape.blocks,
      runtimeNs,
      latency: this.latency.buffer as SharedArrayBuffer,
      control: this.control.buffer,
    };
  }

  run(): ReturnType<CopyEngine["run"]> {
    const queue = (model: ModelQueue): QueuePair => model as unknown as QueuePair;
    return new CopyEngine(
      this.job,
      queue(this.read),
      queue(this.write),
      this.handoff,
      () => undefined,
    ).run();
  }

  assertCopied(units: number): void {
    assert.equal(this.destination.size, units);
    for (let i = 0; i < units; i++)
      assert.equal(this.destination.get(FIRST_DESTINATION_UNIT + i), FIRST_SOURCE_UNIT + i);
  }

  assertDrained(): void {
    assert.ok(this.read.idle && this.write.idle, "nothing in flight");
    assert.equal(this.read.acknowledged, this.read.taken);
    assert.equal(this.write.acknowledged, this.write.taken);
  }
}

function randomFrom(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const plain: Shape = {
  blocks: 40,
  blockUnits: 32,
  lastUnits: 32,
  slots: 4,
  sourceBlockUnits: 1,
  destinationBlockUnits: 1,
  sourceCommandUnits: 8,
  destinationCommandUnits: 32,
};

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
        assert.ok(outcome.busyNs > 0 && outcome.runtimeNs > 0);
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
        side: opcode === READ ? "read" : "write",
        status: 0x281,
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
    assert.ok(outcome.drained);
    assert.equal(outcome.blocks, plain.slots);
    assert.equal(model.destination.size, plain.slots * plain.blockUnits);
  });

  it("begins nothing when it was told to stop before", () => {
    const model = new Model(plain, randomFrom(11));
    model.control.stop();
    assert.equal(model.run().blocks, 0);
    assert.equal(model.read.log.length, 0);
  });

  it("goes through the range again and again until the time is over", () => {
    const shape = { ...plain, blocks: 5, lastUnits: 8 };
    const model = new Model(shape, randomFrom(13), 5e6);
    const outcome = model.run();
    assert.ok(outcome.runtimeNs >= 5e6);
    assert.ok(outcome.blocks > 10, `${outcome.blocks} blocks`);
    model.assertCopied(4 * 32 + 8);
    model.assertDrained();
    assert.equal(model.latency.count, outcome.blocks);
  });

  it("gives up on a queue that has seen a bad completion", () => {
    const model = new Model(plain, randomFrom(17));
    model.write.next = () => {
      model.write.fault = new P2pError("BAD_COMPLETION", "command id 77", { hint: "reset" });
      return -1;
    };
    const { failure, drained } = model.run();
    const [message, hint] = ["command id 77", "reset"];
    assert.deepEqual(failure, { kind: "fault", side: "write", message, hint });
    assert.equal(drained, false);
  });

  it("does not wait where its owner has given up, and says that it has not drained", () => {
    const model = new Model(plain, randomFrom(19));
    model.write.next = () => -1;
    const submit = model.write.submit.bind(model.write);
    model.write.submit = (...words) => {
      submit(...words);
      model.control.giveUp();
    };
    const { failure, drained } = model.run();
    assert.deepEqual(failure, { kind: "given-up" });
    assert.equal(drained, false);
  });

  it("that gives up after a command has failed keeps that failure, but has not drained", () => {
    const model = new Model(plain, randomFrom(23));
    model.statusOf.set(FIRST_SOURCE_UNIT + 2 * plain.blockUnits, 0x281);
    model.write.next = () => {
      if (model.read.status !== 0) model.control.giveUp();
      return -1;
    };
    const { failure, drained } = model.run();
    assert.equal(failure?.kind, "status");
    assert.equal(drained, model.write.outstanding === 0);
  });
});
