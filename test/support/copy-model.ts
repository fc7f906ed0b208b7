/** The copy engine over a model of both devices and of the memory between them. */
import assert from "node:assert/strict";
import { CopyEngine } from "#lib/copy/engine.js";
import type { Handoff } from "#lib/copy/handoff.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { ControlBlock } from "#lib/reactor/control-block.js";
import type { CopyJob } from "#lib/copy/job.js";
import type { BlockShape, SideJob } from "#lib/io/side.js";
import { P2pError } from "#lib/errors.js";
import type { QueuePair } from "#lib/nvme/queues/queue-pair.js";
import { engineJob, engineThread } from "./engine-thread.js";

/** All lengths of the model are in units of 512 bytes. */
export const UNIT = 512;
export const READ = 2;
export const WRITE = 1;
const ID_BIT = 0x8000;
export const FIRST_SOURCE_UNIT = 800;
export const FIRST_DESTINATION_UNIT = 1600;

interface Command {
  opcode: number;
  unit: number;
  units: number;
  address: number;
  cookie: number;
}

export interface Shape {
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
export class ModelQueue {
  status = 0;
  fault: P2pError | null = null;
  outstanding = 0;
  readonly log: Command[] = [];
  rings = 0;
  /** Called at each poll. */
  polled: () => void = () => undefined;
  acknowledged = 0;
  taken = 0;
  /** Of the commands that do not complete by themselves, by their first unit. */
  readonly stuck = new Set<number>();
  readonly #cookies = new Set<number>();
  readonly hanging: Command[] = [];
  readonly #endings = new Map<number, number>();
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

  /** A command's identifier is its cookie and a bit. */
  commandIdOf(cookie: number): number {
    return this.#cookies.has(cookie) ? cookie + ID_BIT : -1;
  }

  idOf({ cookie }: Command): number {
    return cookie + ID_BIT;
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
    assert.ok(!this.#cookies.has(cookie!), "a cookie in use");
    this.#cookies.add(cookie!);
    this.outstanding++;
  }

  ring(): void {
    assert.ok(this.#submitted.length > 0, "a doorbell for nothing");
    this.rings++;
    for (const command of this.#submitted.splice(0))
      (this.stuck.has(command.unit) ? this.hanging : this.#rung).push(command);
  }

  next(): number {
    this.polled();
    if (this.#rung.length === 0 || this.#random() < 0.4) return -1;
    const [command] = this.#rung.splice(Math.floor(this.#random() * this.#rung.length), 1);
    this.log.push(command!);
    this.status = this.#endings.get(command!.cookie) ?? this.#perform(command!);
    this.#cookies.delete(command!.cookie);
    this.#endings.delete(command!.cookie);
    this.outstanding--;
    this.taken++;
    return command!.cookie;
  }

  /** Has a stuck command complete after all, without being carried out where there is a status. */
  release(commandId: number, status = 0): void {
    const at = this.hanging.findIndex(({ cookie }) => cookie + ID_BIT === commandId);
    assert.ok(at >= 0, "a command that is stuck");
    const [command] = this.hanging.splice(at, 1);
    if (status !== 0) this.#endings.set(command!.cookie, status);
    this.#rung.push(command!);
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
    timeoutNs: 60e9,
    opcode,
    nsid: 7,
    lba: firstUnit / blockUnits,
    commandBlocks: commandUnits / blockUnits,
    registrar: null,
    whole: of(shape.blockUnits),
    last: of(shape.lastUnits),
  };
}

/** A run over a model of both devices and of the memory between them. */
export class Model {
  readonly memory = new Map<number, number>();
  readonly destination = new Map<number, number>();
  readonly control = ControlBlock.create(2);
  readonly latency = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
  readonly handoff = new ModelHandoff();
  readonly read: ModelQueue;
  readonly write: ModelQueue;
  readonly job: CopyJob;
  /** Status of a command, by its first unit. */
  readonly statusOf = new Map<number, number>();
  rampEnded: () => void = () => undefined;
  readonly #onIdle: () => void;

  /** `onIdle`: called when the engine has nothing to do for a while; time goes on meanwhile. */
  constructor(
    shape: Shape,
    random: () => number,
    runtimeNs: number | null = null,
    onIdle: () => void = () => undefined,
  ) {
    this.#onIdle = onIdle;
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
      ...engineJob(this.control, { runtimeNs }),
      read: sideOf(shape, READ, FIRST_SOURCE_UNIT),
      write: sideOf(shape, WRITE, FIRST_DESTINATION_UNIT),
      handoff: { kind: "none" },
      slots: shape.slots,
      blockBytes: shape.blockUnits * UNIT,
      lastBlockBytes: shape.lastUnits * UNIT,
      rangeBlocks: shape.blocks,
      loops: 1,
      latency: this.latency.buffer as SharedArrayBuffer,
    };
  }

  run(): ReturnType<CopyEngine["run"]> {
    const queue = (model: ModelQueue): QueuePair => model as unknown as QueuePair;
    return new CopyEngine(
      this.job,
      [queue(this.read), queue(this.write)],
      [null, null],
      this.handoff,
      engineThread(this.#onIdle, this.rampEnded),
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

export function randomFrom(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

export const plain: Shape = {
  blocks: 40,
  blockUnits: 32,
  lastUnits: 32,
  slots: 4,
  sourceBlockUnits: 1,
  destinationBlockUnits: 1,
  sourceCommandUnits: 8,
  destinationCommandUnits: 32,
};
