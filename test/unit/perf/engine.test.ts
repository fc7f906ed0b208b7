import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import type { QueuePair } from "#lib/nvme/queues/queue-pair.js";
import { PerfEngine } from "#lib/perf/engine.js";
import type { PerfJob, PerfOutcome, TargetJob } from "#lib/perf/job.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { engineJob, engineThread } from "../../support/engine-thread.js";

const READ = 2;
const WRITE = 1;
const FIRST_LBA = 5000;
/** NVMe 1.4 §4.6.1.2.1. */
const COMMAND_ABORT_REQUESTED = 0x07;

interface Command {
  opcode: number;
  nsid: number;
  lba: number;
  blocks: number;
  prp1: number;
  cookie: number;
}

/** A device that completes what was rung for, in an order of its own, some at a time. */
class ModelQueue {
  status = 0;
  fault: P2pError | null = null;
  outstanding = 0;
  most = 0;
  rings = 0;
  acknowledgements = 0;
  unacknowledged = 0;
  mostUnacknowledged = 0;
  /** Told of each command that is submitted; gives its status. */
  perform: (command: Command) => number = () => 0;
  /** Whether a command is not to complete yet. */
  holds: (command: Command) => boolean = () => false;
  /** Told before each poll. */
  polled: () => void = () => undefined;
  readonly log: Command[] = [];
  readonly #submitted: Command[] = [];
  readonly #rung: Command[] = [];
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Its commands are known by their cookies. */
  commandIdOf(cookie: number): number {
    return this.#rung.some((command) => command.cookie === cookie) ? cookie : -1;
  }

  submit(...words: number[]): void {
    const [opcode, nsid, lba, blocks, prp1, prp1Hi, prp2Lo, prp2Hi, cookie] = words;
    assert.deepEqual([prp1Hi, prp2Lo, prp2Hi], [11, 12, 13], "PRP words in their places");
    assert.ok(blocks! > 0);
    const command = { opcode: opcode!, nsid: nsid!, lba: lba!, blocks: blocks!, prp1: prp1! };
    this.#submitted.push({ ...command, cookie: cookie! });
    this.log.push({ ...command, cookie: cookie! });
    this.outstanding++;
    this.most = Math.max(this.most, this.outstanding);
  }

  ring(): void {
    assert.ok(this.#submitted.length > 0, "a doorbell for nothing");
    this.rings++;
    this.#rung.push(...this.#submitted.splice(0));
  }

  next(): number {
    this.polled();
    if (this.#rung.length === 0 || this.#random() < 0.4) return -1;
    const place = Math.floor(this.#random() * this.#rung.length);
    if (this.holds(this.#rung[place]!)) return -1;
    const [command] = this.#rung.splice(place, 1);
    this.status = this.perform(command!);
    this.outstanding--;
    this.unacknowledged++;
    return command!.cookie;
  }

  acknowledge(): void {
    this.acknowledgements++;
    this.mostUnacknowledged = Math.max(this.mostUnacknowledged, this.unacknowledged);
    this.unacknowledged = 0;
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

interface Shape {
  isRandom: boolean;
  readPercent: number;
  ios: number;
  ioBlocks: number;
  commandBlocks: number;
  /** Slots by lane. */
  lanes: number[];
  work: number;
  rampNs: number;
  runtimeNs: number | null;
  spacingNs: number;
  recordsLatency: boolean;
  timeoutNs: number;
  seed: number;
}

const plain: Shape = {
  isRandom: true,
  readPercent: 100,
  ios: 1000,
  ioBlocks: 8,
  commandBlocks: 8,
  lanes: [4],
  work: 0,
  rampNs: 0,
  spacingNs: 0,
  recordsLatency: true,
  runtimeNs: 2e6,
  timeoutNs: 30e9,
  seed: 1,
};

const shared = (): SharedArrayBuffer => new SharedArrayBuffer(Histogram.byteLength);

/** A run over a model of the device. */
class Model {
  readonly shape: Shape;
  readonly control: ControlBlock;
  readonly queues: ModelQueue[];
  readonly engine: PerfEngine;
  readonly reads = new Histogram(shared());
  readonly writes = new Histogram(shared());
  /** Commands of the ramp. */
  ramped = 0;

  constructor(changes: Partial<Shape> = {}) {
    this.shape = { ...plain, ...changes };
    const { shape } = this;
    const random = randomFrom(shape.seed);
    this.control = ControlBlock.create(shape.lanes.length);
    this.queues = shape.lanes.map(() => new ModelQueue(random));
    const commands = Math.ceil(shape.ioBlocks / shape.commandBlocks);
    const target: TargetJob = {
      nsid: 7,
      lba: FIRST_LBA,
      ios: shape.ios,
      work: shape.work,
      ioBlocks: shape.ioBlocks,
      commandBlocks: shape.commandBlocks,
      isRandom: shape.isRandom,
      readPercent: shape.readPercent,
      lanes: shape.lanes.map((slots) => ({
        queue: {} as TargetJob["lanes"][number]["queue"],
        timeoutNs: shape.timeoutNs,
        slots,
        // By slot and command, so that each is known by its address.
        pointers: Int32Array.from(
          Array.from({ length: slots * commands }, (_, n) => [n, 11, 12, 13]).flat(),
        ),
        flags: 0,
        registrar: null,
        acknowledgeAfter: 10,
      })),
      readLatency: this.reads.buffer as SharedArrayBuffer,
      writeLatency: this.writes.buffer as SharedArrayBuffer,
    };
    const { rampNs, runtimeNs, spacingNs, recordsLatency } = shape;
    const job: PerfJob = {
      ...engineJob(this.control, { rampNs, runtimeNs, spacingNs, recordsLatency }),
      targets: [target],
      ioBytes: shape.ioBlocks * 512,
      seed: shape.seed,
    };
    const thread = engineThread(undefined, () => {
      assert.equal(this.outstanding, 0, "nothing is in flight");
      this.ramped = this.log.length;
    });
    const queues = this.queues as unknown as QueuePair[];
    const lanes = queues.map((queue) => ({ queue, registrar: null }));
    this.engine = new PerfEngine(job, [lanes], thread);
  }

  run(): PerfOutcome {
    return this.engine.run();
  }

  /** Without a time: to that many commands, and some more. */
  runUntil(commands: number): PerfOutcome {
    for (const queue of this.queues)
      queue.polled = () => {
        if (this.log.length >= commands) this.control.stop();
      };
    return this.run();
  }

  get log(): Command[] {
    return this.queues.length === 1 ? this.queues[0]!.log : this.queues.flatMap(({ log }) => log);
  }

  get outstanding(): number {
    return this.queues.reduce((sum, { outstanding }) => sum + outstanding, 0);
  }

  assertDrained(): void {
    assert.equal(this.outstanding, 0);
  }

  get count(): number {
    return this.reads.count + this.writes.count;
  }
}

/** Holds one command of the first queue until it is reported; `reported`: each that was. */
function holdOne({ queues, control }: Model): { late: () => Command | null; reported: number[] } {
  const [queue] = queues;
  const reported: number[] = [];
  let late: Command | null = null;
  let report = 0;
  queue!.holds = (command) => {
    if (queue!.log.length < 20) return false;
    late ??= command;
    const { overdue } = control;
    if (overdue !== null && overdue.report !== report) {
      report = overdue.report;
      reported.push(overdue.commandId);
    }
    return command === late && reported.length === 0;
  };
  return { late: () => late, reported };
}

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

  it("asks its owner to see to a command that is late, and says which when it was aborted", () => {
    const model = new Model({ lanes: [1], runtimeNs: 1e12, timeoutNs: 20e6 });
    const [queue] = model.queues;
    const { late, reported } = holdOne(model);
    queue!.perform = (command) => (command === late() ? COMMAND_ABORT_REQUESTED : 0);
    const { failure } = model.run();
    const { lba, blocks, cookie } = late()!;
    assert.deepEqual(reported, [cookie]);
    assert.equal(model.control.overdue, null, "its end is told, so that nobody ends it once more");
    assert.deepEqual(failure, { kind: "timeout", queue: 0, command: "Read", lba, blocks });
    model.assertDrained();
  });

  for (const lanes of [[1], [4]])
    it(`goes on where a command of ${lanes.join(" + ")} was late but has completed`, () => {
      const model = new Model({ lanes, runtimeNs: 1e12, timeoutNs: 20e6 });
      const { late, reported } = holdOne(model);
      for (const queue of model.queues)
        queue.polled = () => {
          if (model.log.length >= 200) model.control.stop();
        };
      const { failure } = model.run();
      assert.equal(failure, null);
      assert.deepEqual(reported, [late()!.cookie]);
      assert.equal(model.control.overdue, null);
      assert.ok(model.log.length >= 200, `${model.log.length} commands`);
      assert.equal(model.count, model.log.length);
      model.assertDrained();
    });

  it("tells the command that was late, though its end took another queue first", () => {
    const model = new Model({ lanes: [1, 1], runtimeNs: 1e12, timeoutNs: 20e6 });
    const [other, stuck] = model.queues;
    stuck!.holds = () => true;
    let polls = 0;
    other!.polled = () => {
      // As a reset of their controller does it: the one that is recovered is told of last.
      if (model.control.overdue?.queue !== 1) return;
      if (polls++ === 0) model.control.lose(0);
      else if (model.control.losses === 1 && polls > 2e4) model.control.lose(1);
    };
    stuck!.polled = other!.polled;
    const { failure } = model.run();
    const { lba, blocks } = stuck!.log[0]!;
    assert.deepEqual(failure, { kind: "timeout", queue: 1, command: "Read", lba, blocks });
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
