import type { QueuePair } from "../nvme/queues/queue-pair.js";
import type { Handoff } from "./handoff.js";
import { now } from "../reactor/clock.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import type { BlockShape, CopyFailure, CopyJob, CopyOutcome, SideJob } from "./job.js";

/** No completion for so long means that the device will not answer any more. */
const TIMEOUT_NS = 30e9;

/** Empty polls after which to look at the clock and the stop flag: some 50 us. */
const IDLE_POLLS = 8192;

/**
 * Empty polls after which to yield as well: some 500 us. No device that is at work is silent for so
 * long, but one that is simulated may be waiting for this processor. Earlier it would hand whole time
 * slices to strangers on a busy machine.
 */
const YIELD_POLLS = 10 * IDLE_POLLS;

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

  readonly #blockBytes: number;
  readonly #lastBlockBytes: number;
  readonly #rangeBlocks: number;
  readonly #wraps: boolean;
  readonly #runtimeNs: number;

  /** By slot: commands still out, bytes and number of its block, when it was begun. */
  readonly #remaining: Int32Array;
  readonly #length: Float64Array;
  readonly #block: Float64Array;
  readonly #begun: Float64Array;
  /** The slots whose blocks have been read in this round. */
  readonly #ready: Int32Array;

  #next = 0;
  #inFlight = 0;
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
    this.#read = new Side(job.read, read);
    this.#write = new Side(job.write, write);
    this.#handoff = handoff;
    this.#control = new ControlBlock(job.control);
    this.#latency = new Histogram(job.latency);
    this.#blockBytes = job.blockBytes;
    this.#lastBlockBytes = job.lastBlockBytes;
    this.#rangeBlocks = job.rangeBlocks;
    this.#wraps = job.runtimeNs !== null;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#remaining = new Int32Array(job.slots);
    this.#length = new Float64Array(job.slots);
    this.#block = new Float64Array(job.slots);
    this.#begun = new Float64Array(job.slots);
    this.#ready = new Int32Array(job.slots);
  }

  /**
   * Runs to the end, the deadline, the stop flag or the first failure, and until nothing is in
   * flight, unless a device does not answer.
   */
  run(): CopyOutcome {
    const began = now();
    this.#deadline = began + this.#runtimeNs;
    this.#lastSeen = began;
    this.#closing = this.#control.stopping;
    for (let slot = 0; slot < this.#remaining.length; slot++) this.#begin(slot, began);
    if (this.#inFlight > 0) this.#read.queue.ring();
    this.#busyNs = now() - began;

    let idle = 0;
    while (this.#inFlight > 0) {
      const reads = this.#collectReads();
      const writes = this.#collectWrites();
      if (reads || writes) idle = 0;
      else if (++idle % IDLE_POLLS === 0) {
        if (this.#isStuck()) break;
        if (idle >= YIELD_POLLS) this.#yield();
      }
    }
    return {
      bytes: this.#bytes,
      blocks: this.#blocks,
      runtimeNs: this.#lastSeen - began,
      busyNs: this.#busyNs,
      failure: this.#failure,
      drained: this.#inFlight === 0,
    };
  }

  /** Reads that have finished: hands their blocks on and submits the writes. */
  #collectReads(): boolean {
    const side = this.#read;
    const queue = side.queue;
    let cookie = queue.next();
    if (cookie < 0) return false;
    const seen = now();
    const ready = this.#ready;
    let count = 0;
    do {
      if (queue.status !== 0) this.#fail(side, cookie);
      const slot = cookie >>> side.commandShift;
      this.#inFlight--;
      if (--this.#remaining[slot]! === 0) ready[count++] = slot;
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (count > 0 && this.#failure === null) {
      this.#handoff.move(ready, count, this.#length);
      for (let i = 0; i < count; i++) this.#submit(this.#write, ready[i]!);
      this.#write.queue.ring();
    }
    this.#finishRound(seen);
    return true;
  }

  /** Writes that have finished: counts their blocks and begins the next ones in their slots. */
  #collectWrites(): boolean {
    const side = this.#write;
    const queue = side.queue;
    let cookie = queue.next();
    if (cookie < 0) return false;
    const seen = now();
    if (seen >= this.#deadline || this.#control.stopping) this.#closing = true;
    let begun = false;
    do {
      if (queue.status !== 0) this.#fail(side, cookie);
      const slot = cookie >>> side.commandShift;
      this.#inFlight--;
      if (--this.#remaining[slot]! === 0 && this.#failure === null) {
        this.#latency.record(seen - this.#begun[slot]!);
        this.#bytes += this.#length[slot]!;
        this.#blocks++;
        if (this.#begin(slot, seen)) begun = true;
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
    this.#busyNs += now() - seen;
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
    this.#submit(this.#read, slot);
    return true;
  }

  /** All commands of one half of the block that `slot` holds. */
  #submit(side: Side, slot: number): void {
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
    this.#remaining[slot] = commands;
    this.#inFlight += commands;
  }

  /** Keeps the first failure; nothing new begins, what is in flight is waited for. */
  #fail(side: Side, cookie: number): void {
    this.#closing = true;
    if (this.#failure !== null) return;
    const slot = cookie >>> side.commandShift;
    const block = this.#block[slot]!;
    const skipped = (cookie - (slot << side.commandShift)) * side.commandBlocks;
    this.#failure = {
      kind: "status",
      side: this.#nameOf(side),
      status: side.queue.status,
      lba: side.lba + block * side.whole.blocks + skipped,
      blocks: Math.min(side.commandBlocks, this.#shapeOf(side, block).blocks - skipped),
    };
  }

  #shapeOf(side: Side, block: number): Shape {
    return block === this.#rangeBlocks - 1 ? side.last : side.whole;
  }

  #nameOf(side: Side): "read" | "write" {
    return side === this.#read ? "read" : "write";
  }

  /** Called when idle: true where waiting is over because a queue is broken or the device silent. */
  #isStuck(): boolean {
    if (this.#control.stopping) this.#closing = true;
    for (const side of [this.#read, this.#write]) {
      const { fault } = side.queue;
      if (fault === null) continue;
      const { message, hint = "" } = fault;
      this.#failure = { kind: "fault", side: this.#nameOf(side), message, hint };
      return true;
    }
    if (this.#control.givenUp) {
      this.#failure ??= { kind: "given-up" };
      return true;
    }
    if (now() - this.#lastSeen < TIMEOUT_NS) return false;
    const side = this.#read.queue.inFlight > 0 ? this.#read : this.#write;
    this.#failure ??= { kind: "timeout", side: this.#nameOf(side), outstanding: this.#inFlight };
    return true;
  }
}

class Side {
  readonly queue: QueuePair;
  readonly opcode: number;
  readonly nsid: number;
  readonly lba: number;
  readonly commandBlocks: number;
  readonly whole: Shape;
  readonly last: Shape;
  /** A cookie is the slot's number, shifted by so many bits, plus the number of the command. */
  readonly commandShift: number;

  constructor(job: SideJob, queue: QueuePair) {
    this.queue = queue;
    this.opcode = job.opcode;
    this.nsid = job.nsid;
    this.lba = job.lba;
    this.commandBlocks = job.commandBlocks;
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
