import assert from "node:assert/strict";
import type { P2pError } from "#lib/errors.js";
import type { QueuePair } from "#lib/nvme/queues/queue-pair.js";
import { PerfEngine } from "#lib/perf/engine.js";
import type { PerfJob, PerfOutcome, TargetJob } from "#lib/perf/job.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { engineJob, engineThread } from "../../support/engine-thread.js";

export const FIRST_LBA = 5000;

export interface Command {
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
  /** Writes are marked: a record is kept of them, and reads have buffers of their own. */
  isMarked: boolean;
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
  isMarked: false,
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
export class Model {
  readonly shape: Shape;
  readonly control: ControlBlock;
  readonly queues: ModelQueue[];
  readonly engine: PerfEngine;
  readonly reads = new Histogram(shared());
  readonly writes = new Histogram(shared());
  readonly writers: Uint16Array | null;
  /** Commands of the ramp. */
  ramped = 0;
  /** At its end. */
  rampEnded: () => void = () => undefined;

  constructor(changes: Partial<Shape> = {}) {
    this.shape = { ...plain, ...changes };
    const { shape } = this;
    const random = randomFrom(shape.seed);
    this.control = ControlBlock.create(shape.lanes.length);
    this.queues = shape.lanes.map(() => new ModelQueue(random));
    const commands = Math.ceil(shape.ioBlocks / shape.commandBlocks);
    this.writers = shape.isMarked ? new Uint16Array(shape.ios) : null;
    const target: TargetJob = {
      nsid: 7,
      lba: FIRST_LBA,
      ios: shape.ios,
      work: shape.work,
      ioBlocks: shape.ioBlocks,
      commandBlocks: shape.commandBlocks,
      isRandom: shape.isRandom,
      readPercent: shape.readPercent,
      writers: this.writers,
      lanes: shape.lanes.map((slots, lane) => ({
        queue: {} as TargetJob["lanes"][number]["queue"],
        timeoutNs: shape.timeoutNs,
        slots,
        readBuffers: shape.isMarked ? slots : 0,
        firstMark: 100 * lane + 1,
        // By slot and command, so that each is known by its address.
        pointers: Int32Array.from(
          Array.from({ length: 2 * slots * commands }, (_, n) => [n, 11, 12, 13]).flat(),
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
      this.rampEnded();
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
