import type { Registrar } from "../io/registrar.js";
import { IoOpcode } from "../nvme/spec.js";
import { tick } from "../reactor/clock.js";
import { Engine } from "../reactor/engine.js";
import type { EngineCommand, EngineThread } from "../reactor/engine-job.js";
import { recordWrite } from "../verify/writers.js";
import type { PerfJob, PerfOutcome } from "./job.js";
import { Lane, Target, type LaneResources } from "./lane.js";

/**
 * Keeps each lane's slots full of I/Os until the end, and counts what they took. It neither allocates
 * nor calls native code for an I/O; for a batch that has completed there are two looks at the clock and
 * one store to the submission doorbell.
 */
export class PerfEngine extends Engine {
  readonly #targets: readonly Target[];
  readonly #lanes: readonly Lane[];
  /** The lane of each slot. */
  readonly #laneOf: Int32Array;
  readonly #ioBytes: number;

  /** `resources`: by target and lane, as the job has them. */
  constructor(job: PerfJob, resources: readonly LaneResources[][], thread: EngineThread) {
    const targets = job.targets.map((target) => new Target(target, job));
    const lanes: Lane[] = [];
    let slots = 0;
    for (const [index, target] of targets.entries())
      for (const [n, lane] of job.targets[index]!.lanes.entries()) {
        lanes.push(new Lane(target, lanes.length, lane, resources[index]![n]!, slots, job.seed));
        slots += lane.slots;
      }
    super(job, slots, lanes, thread);
    this.#targets = targets;
    this.#lanes = lanes;
    this.#laneOf = Int32Array.from(
      lanes.flatMap(({ index, slots }) => Array<number>(slots).fill(index)),
    );
    this.#ioBytes = job.ioBytes;
  }

  /** See Engine. */
  run(): PerfOutcome {
    this.runAll();
    return this.outcome();
  }

  outcome(): PerfOutcome {
    const ios = this.#targets.map(({ reads, writes }) =>
      this.isRamping ? { reads: 0, writes: 0 } : { reads, writes },
    );
    return { ...this.outcomeSoFar(), ios };
  }

  poll(): boolean {
    const lanes = this.#lanes;
    let found = false;
    for (let i = 0; i < lanes.length; i++) if (this.#collect(lanes[i]!)) found = true;
    return found;
  }

  #collect(lane: Lane): boolean {
    const queue = lane.queue;
    let cookie = lane.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    const shift = lane.commandShift;
    let taken = 0;
    let begun = false;
    do {
      if (queue.status !== 0) this.fail(lane.index, queue.status, cookie);
      const slot = cookie >>> shift;
      taken++;
      if (flight.end(slot)) {
        if (lane.registrar !== null)
          this.#unregister(lane.registrar, lane.bufferOf(slot - lane.firstSlot));
        lane.finish(slot, this.seen);
        if (this.isFlowing && !this.closing && this.#submit(lane, slot)) begun = true;
      }
      cookie = queue.next();
    } while (cookie >= 0);
    // First what the device waits for.
    if (begun) queue.ring();
    lane.acknowledge(taken);
    this.endRound();
    return true;
  }

  protected begin(slot: number): boolean {
    return !this.closing && this.#submit(this.#lanes[this.#laneOf[slot]!]!, slot);
  }

  /** All commands of the next I/O in `slot`; false where the target has had them all. */
  #submit(lane: Lane, slot: number): boolean {
    const { target, queue, pointers } = lane;
    if (!target.take()) {
      this.closing = this.#targets.every(({ isDone }) => isDone);
      return false;
    }
    const commands = target.commands;
    const opcode = lane.random.next() >>> 0 < target.readBelow ? IoOpcode.READ : IoOpcode.WRITE;
    const io = target.isRandom ? lane.random.below(target.ios) : target.nextIo();
    let lba = target.lba + io * target.ioBlocks;
    const own = slot - lane.firstSlot;
    lane.opcode[own] = opcode;
    const buffer = lane.bufferOf(own);
    if (lane.registrar !== null && !this.#register(lane, lane.registrar, buffer)) return false;
    if (target.writers !== null && opcode === IoOpcode.WRITE)
      recordWrite(target.writers, io, lane.firstMark + own);
    const command = opcode | lane.flags;
    lane.firstLba[own] = lba;
    lane.begun[own] = this.seen[0]!;
    let left = target.ioBlocks;
    let cookie = slot << lane.commandShift;
    const end = (buffer + 1) * commands * 4;
    for (let word = buffer * commands * 4; word < end; word += 4) {
      const blocks = left < target.commandBlocks ? left : target.commandBlocks;
      queue.submit(
        command,
        target.nsid,
        lba,
        blocks,
        pointers[word]!,
        pointers[word + 1]!,
        pointers[word + 2]!,
        pointers[word + 3]!,
        cookie,
      );
      cookie++;
      lba += blocks;
      left -= blocks;
    }
    this.flight.begin(slot, lane.index, commands, this.seen[0]!);
    return true;
  }

  /** False where it has failed. */
  #register({ pointers }: Lane, registrar: Registrar, buffer: number): boolean {
    try {
      registrar.begin(buffer, this.#ioBytes, pointers);
      return true;
    } catch (error) {
      this.failFor(error);
      return false;
    }
  }

  #unregister(registrar: Registrar, buffer: number): void {
    try {
      registrar.end(buffer);
    } catch (error) {
      this.failFor(error);
    }
  }

  protected reset(): void {
    for (const target of this.#targets) target.reset(this.isRamping);
  }

  protected get bytes(): number {
    return (
      this.#targets.reduce((ios, { reads, writes }) => ios + reads + writes, 0) * this.#ioBytes
    );
  }

  protected commandOf(queue: number, cookie: number): EngineCommand {
    const lane = this.#lanes[queue]!;
    const { target, commandShift, firstSlot } = lane;
    const slot = cookie >>> commandShift;
    const skipped = (cookie - (slot << commandShift)) * target.commandBlocks;
    return {
      command: lane.opcode[slot - firstSlot] === IoOpcode.READ ? "Read" : "Write",
      lba: lane.firstLba[slot - firstSlot]! + skipped,
      blocks: Math.min(target.commandBlocks, target.ioBlocks - skipped),
    };
  }
}
