import { P2pError } from "../errors.js";
import type { QueuePair } from "../nvme/queues/queue-pair.js";
import { now, since } from "../reactor/clock.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Flight } from "../reactor/flight.js";
import { Histogram } from "../reactor/histogram.js";
import { IDLE_POLLS, YIELD_POLLS } from "../reactor/idle.js";
import { tellsMore, Watchdog, type QueueFailure } from "../reactor/watchdog.js";
import type { Handoff } from "./handoff.js";
import { READ_QUEUE, WRITE_QUEUE } from "./job.js";
import type { BlockShape, CopyFailure, CopyJob, CopyOutcome, SideJob } from "./job.js";

/**
 * The pipelined copy: `slots` blocks in flight, each read from the source into its slot's buffer,
 * then written from there to the destination. One poll loop over two queue pairs which neither
 * allocates nor calls native code for an I/O; per batch there is one doorbell store, one look at
 * the clock, and the path's handoff (see handoff.ts).
 */
export class CopyEngine {
  readonly #read: Side;
  readonly #write: Side;
  readonly #handoff: Handoff;
  readonly #yield: () => void;
  readonly #control: ControlBlock;
  readonly #latency: Histogram;
  readonly #flight: Flight;
  readonly #watchdog: Watchdog;

  readonly #blockBytes: number;
  readonly #lastBlockBytes: number;
  readonly #rangeBlocks: number;
  readonly #wraps: boolean;
  readonly #runtimeNs: number;
  readonly #epoch: number;

  /** By slot: bytes and number of its block, when it was begun. */
  readonly #length: Float64Array;
  readonly #block: Float64Array;
  readonly #begun: Float64Array;
  /** By slot: its block has been read, and must not be written yet. */
  readonly #isHeld: Uint8Array;
  /** The slots whose blocks have been read in this round. */
  readonly #ready: Int32Array;

  #next = 0;
  #closing = false;
  #failure: CopyFailure | null = null;
  #deadline = Infinity;
  #lastSeen = 0;
  #bytes = 0;
  #blocks = 0;
  #busyNs = 0;

  /** `yieldProcessor`: lets another thread run, if one is waiting to. */
  constructor(
    job: CopyJob,
    read: QueuePair,
    write: QueuePair,
    handoff: Handoff,
    yieldProcessor: () => void,
  ) {
    this.#yield = yieldProcessor;
    this.#read = new Side(READ_QUEUE, job.read, read);
    this.#write = new Side(WRITE_QUEUE, job.write, write);
    this.#handoff = handoff;
    this.#control = new ControlBlock(job.control);
    this.#latency = new Histogram(job.latency);
    this.#flight = new Flight(job.slots);
    this.#watchdog = new Watchdog(this.#control, this.#flight, [this.#read, this.#write]);
    this.#blockBytes = job.blockBytes;
    this.#lastBlockBytes = job.lastBlockBytes;
    this.#rangeBlocks = job.rangeBlocks;
    this.#wraps = job.runtimeNs !== null;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#epoch = job.epoch;
    this.#length = new Float64Array(job.slots);
    this.#block = new Float64Array(job.slots);
    this.#begun = new Float64Array(job.slots);
    this.#isHeld = new Uint8Array(job.slots);
    this.#ready = new Int32Array(job.slots);
  }

  /**
   * Runs to the end, the deadline, the stop flag or the first failure, and until nothing is in
   * flight: what will not complete counts as over when the owner of the run says so.
   */
  run(): CopyOutcome {
    const flight = this.#flight;
    const began = now();
    this.#deadline = began + this.#runtimeNs;
    this.#lastSeen = began;
    this.#closing = this.#control.isStopping;
    this.#beginIdle(began);
    this.#busyNs = now() - began;

    let idle = 0;
    while (flight.commands > 0) {
      const reads = this.#collectReads();
      const writes = this.#collectWrites();
      if (reads || writes) idle = 0;
      else if (++idle % IDLE_POLLS === 0) {
        this.#look(now());
        if (idle >= YIELD_POLLS) this.#yield();
      }
    }
    return {
      bytes: this.#bytes,
      blocks: this.#blocks,
      beganNs: since(this.#epoch, began),
      endedNs: since(this.#epoch, this.#lastSeen),
      busyNs: this.#busyNs,
      failure: this.#failure,
    };
  }

  /** Reads that have finished: hands their blocks on and submits the writes. */
  #collectReads(): boolean {
    const side = this.#read;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    const seen = now();
    const flight = this.#flight;
    const ready = this.#ready;
    let count = 0;
    do {
      if (queue.status !== 0) this.#fail(side, cookie);
      const slot = cookie >>> side.commandShift;
      if (flight.end(slot)) ready[count++] = slot;
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (count > 0) this.#passOn(count, seen);
    this.#finishRound(seen);
    return true;
  }

  /** Writes that have finished: counts their blocks and begins the next ones in their slots. */
  #collectWrites(): boolean {
    const side = this.#write;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    const seen = now();
    const flight = this.#flight;
    const isHolding = this.#watchdog.isHolding;
    if (seen >= this.#deadline || this.#control.isStopping) this.#closing = true;
    let begun = false;
    do {
      if (queue.status !== 0) this.#fail(side, cookie);
      const slot = cookie >>> side.commandShift;
      if (flight.end(slot) && this.#failure === null) {
        this.#latency.record(seen - this.#begun[slot]!);
        this.#bytes += this.#length[slot]!;
        this.#blocks++;
        if (!isHolding && this.#begin(slot, seen)) begun = true;
      }
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (begun) this.#read.queue.ring();
    this.#control.bytes = this.#bytes;
    this.#finishRound(seen);
    return true;
  }

  #finishRound(seen: number): void {
    this.#lastSeen = seen;
    if (seen >= this.#watchdog.next) this.#look(seen);
    this.#busyNs += now() - seen;
  }

  /** The first `count` slots of #ready hold blocks: submits their writes, where that may be. */
  #passOn(count: number, time: number): void {
    if (this.#failure !== null || this.#control.isHalting) {
      // What the peer's memory holds, or whether the device takes it, is not known any more.
      this.#closing = true;
      return;
    }
    const ready = this.#ready;
    if (this.#watchdog.isHolding) {
      for (let i = 0; i < count; i++) this.#isHeld[ready[i]!] = 1;
      return;
    }
    if (!this.#handOff(count)) return;
    for (let i = 0; i < count; i++) this.#submit(this.#write, ready[i]!, time);
    this.#write.queue.ring();
  }

  /** False where it has failed. What is in flight must be waited for all the same. */
  #handOff(count: number): boolean {
    try {
      this.#handoff.move(this.#ready, count, this.#length);
      return true;
    } catch (error) {
      const known = error instanceof P2pError;
      this.#giveUp({
        kind: "handoff",
        code: known ? error.code : "INTERNAL",
        message: error instanceof Error ? error.message : String(error),
        hint: known ? (error.hint ?? "") : "",
      });
      return false;
    }
  }

  /** Begins a block in each slot that has none, as far as there are any. */
  #beginIdle(time: number): void {
    let begun = false;
    for (let slot = 0; slot < this.#flight.slots; slot++)
      if (this.#flight.isIdle(slot) && this.#begin(slot, time)) begun = true;
    if (begun) this.#read.queue.ring();
  }

  /** Submits the read of the next block into `slot`; false where there is nothing more to begin. */
  #begin(slot: number, time: number): boolean {
    if (this.#closing) return false;
    if (this.#next === this.#rangeBlocks) {
      if (!this.#wraps) {
        this.#closing = true;
        return false;
      }
      this.#next = 0;
    }
    const block = this.#next++;
    this.#block[slot] = block;
    this.#length[slot] = block === this.#rangeBlocks - 1 ? this.#lastBlockBytes : this.#blockBytes;
    this.#begun[slot] = time;
    this.#submit(this.#read, slot, time);
    return true;
  }

  /** All commands of one half of the block that `slot` holds. */
  #submit(side: Side, slot: number, time: number): void {
    const block = this.#block[slot]!;
    const shape = this.#shapeOf(side, block);
    const pointers = shape.pointers;
    const commands = shape.commands;
    const end = (slot + 1) * commands * 4;
    let left = shape.blocks;
    let lba = side.lba + block * side.whole.blocks;
    let cookie = slot << side.commandShift;
    for (let word = slot * commands * 4; word < end; word += 4) {
      const blocks = left < side.commandBlocks ? left : side.commandBlocks;
      side.queue.submit(
        side.opcode,
        side.nsid,
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
    this.#flight.begin(slot, side.index, commands, time);
  }

  #fail(side: Side, cookie: number): void {
    const { index: queue } = side;
    const { status } = side.queue;
    if (this.#watchdog.isEndOfOverdue(queue, status)) this.#timeOut(side);
    else this.#giveUp({ kind: "status", queue, status, ...this.#commandOf(side, cookie) });
  }

  /** The command that was overdue has not completed in time. */
  #timeOut(side: Side): void {
    const command = this.#commandOf(side, this.#watchdog.overdueCookie);
    this.#giveUp({ kind: "timeout", queue: side.index, ...command });
  }

  /** Keeps the failure that tells most; nothing new begins, what is in flight is waited for. */
  #giveUp(failure: CopyFailure): void {
    this.#closing = true;
    if (tellsMore(failure, this.#failure)) this.#failure = failure;
  }

  /** The blocks of a command. */
  #commandOf(side: Side, cookie: number): { lba: number; blocks: number } {
    const slot = cookie >>> side.commandShift;
    const block = this.#block[slot]!;
    const skipped = (cookie - (slot << side.commandShift)) * side.commandBlocks;
    return {
      lba: side.lba + block * side.whole.blocks + skipped,
      blocks: Math.min(side.commandBlocks, this.#shapeOf(side, block).blocks - skipped),
    };
  }

  #shapeOf(side: Side, block: number): Shape {
    return block === this.#rangeBlocks - 1 ? side.last : side.whole;
  }

  /** Now and then: is there still someone to wait for? */
  #look(time: number): void {
    if (this.#control.isStopping) this.#closing = true;
    const isReleased = this.#watchdog.look(time);
    const { failure } = this.#watchdog;
    if (failure !== null) this.#lose(failure);
    if (isReleased) this.#resume(time);
  }

  #lose(failure: QueueFailure): void {
    for (const side of [this.#read, this.#write]) side.isLost = this.#watchdog.isDead(side.index);
    if (failure.kind !== "timeout") this.#giveUp(failure);
    else this.#timeOut(failure.queue === READ_QUEUE ? this.#read : this.#write);
  }

  /** The command that was overdue has ended after all: goes on with what was held back for it. */
  #resume(time: number): void {
    let count = 0;
    for (let slot = 0; slot < this.#flight.slots; slot++) {
      if (this.#isHeld[slot] === 0) continue;
      this.#isHeld[slot] = 0;
      this.#ready[count++] = slot;
    }
    if (count > 0) this.#passOn(count, time);
    this.#beginIdle(time);
  }
}

class Side {
  /** Its number among the reactor's queues. */
  readonly index: number;
  readonly queue: QueuePair;
  /** Nothing comes from the queue any more. */
  isLost = false;
  readonly opcode: number;
  readonly nsid: number;
  readonly lba: number;
  readonly commandBlocks: number;
  readonly timeoutNs: number;
  readonly whole: Shape;
  readonly last: Shape;
  /** A cookie is the slot's number, shifted by so many bits, plus the number of the command. */
  readonly commandShift: number;

  constructor(index: number, job: SideJob, queue: QueuePair) {
    this.index = index;
    this.queue = queue;
    this.opcode = job.opcode;
    this.nsid = job.nsid;
    this.lba = job.lba;
    this.commandBlocks = job.commandBlocks;
    this.timeoutNs = job.timeoutNs;
    this.whole = new Shape(job.whole, job.commandBlocks);
    this.last = new Shape(job.last, job.commandBlocks);
    this.commandShift = 32 - Math.clz32(this.whole.commands - 1);
  }
}

class Shape {
  readonly blocks: number;
  readonly pointers: Int32Array;
  /** Commands for one block. */
  readonly commands: number;

  constructor(job: BlockShape, commandBlocks: number) {
    this.blocks = job.blocks;
    this.pointers = job.pointers;
    this.commands = Math.ceil(job.blocks / commandBlocks);
  }
}
