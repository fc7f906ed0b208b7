import type { QueuePair as NvmeQueuePair } from "../nvme/queues/queue-pair.js";
import { Opcode, SendFlag } from "../rdma/spec.js";
import { tick } from "../reactor/clock.js";
import type { EngineCommand, EngineThread } from "../reactor/engine-job.js";
import { Histogram } from "../reactor/histogram.js";
import { StreamEngine } from "./engine.js";
import {
  HEADER_KIND,
  HEADER_LENGTH,
  HEADER_NUMBER,
  HEADER_SLOT,
  HEADER_WORDS,
  HeaderKind,
  HIGH,
} from "./header.js";
import { NVME_QUEUE, type DestinationJob, type StreamJobOutcome } from "./job.js";
import type { Wire } from "./wire.js";
import { WrittenBlocks } from "./written-blocks.js";

/** Whose turn it is with a slot: the source's, or this end's. */
const GRANTED = 0;
const TAKEN = 1;

/**
 * Writes each block that has arrived in a slot to its place, and then gives the source a credit for
 * that slot. It trusts nothing that the source says: neither slot, number nor length of a block.
 */
export class DestinationEngine extends StreamEngine {
  readonly #blockBytes: number;
  readonly #lastBlockBytes: number;
  readonly #firstBlock: number;
  readonly #lastBlock: number;
  readonly #latency: Histogram;
  readonly #recordsLatency: boolean;
  readonly #written: WrittenBlocks;

  /** By slot: GRANTED or TAKEN; number and bytes of its block, and when it was seen to be there. */
  readonly #state: Uint8Array;
  readonly #block: Float64Array;
  readonly #length: Float64Array;
  readonly #arrived: Float64Array;
  /** By slot: its block must not be written yet. */
  readonly #isHeld: Uint8Array;
  /** The slots whose blocks have arrived in this round. */
  readonly #ready: Int32Array;
  /** The slots that credits are owed for. */
  readonly #owed: Int32Array;
  #owedCount = 0;
  /** Of what counts; in arrays as all that may be no small integer. */
  readonly #bytes = new Float64Array(1);
  readonly #blocks = new Float64Array(1);
  readonly #rampBytes = new Float64Array(1);
  /** The slot of the word that what counts begins; -1: it has not come. */
  #beginSlot = -1;
  #hasEnded = false;

  constructor(job: DestinationJob, queue: NvmeQueuePair, wire: Wire, thread: EngineThread) {
    super(job, queue, wire, thread);
    this.#blockBytes = job.blockBytes;
    this.#lastBlockBytes = job.lastBlockBytes;
    this.#firstBlock = job.firstBlock;
    this.#lastBlock = job.rangeBlocks - 1;
    this.#latency = new Histogram(job.latency);
    this.#recordsLatency = job.recordsLatency;
    this.#written = new WrittenBlocks(job);
    this.#state = new Uint8Array(job.slots).fill(GRANTED);
    this.#block = new Float64Array(job.slots);
    this.#length = new Float64Array(job.slots);
    this.#arrived = new Float64Array(job.slots);
    this.#isHeld = new Uint8Array(job.slots);
    this.#ready = new Int32Array(job.slots);
    this.#owed = new Int32Array(job.slots);
  }

  /** See Engine. */
  run(): StreamJobOutcome {
    this.runAll();
    return this.outcome();
  }

  outcome(): StreamJobOutcome {
    const outcome = this.outcomeSoFar();
    this.#written.publish();
    const counted = this.isRamping ? 0 : 1;
    return {
      ...outcome,
      bytes: counted * this.#bytes[0]!,
      blocks: counted * this.#blocks[0]!,
      rampBytes: this.isRamping ? this.#bytes[0]! : this.#rampBytes[0]!,
      wireError: this.wireError,
    };
  }

  /** Of the ramp: the source says that what comes now counts. Nothing of the ramp is on its way then. */
  override get isDone(): boolean {
    if (!super.isDone) return false;
    if (this.isOnItsOwn || this.control.isStopping) return true;
    if (this.isRamping) return this.#beginSlot >= 0;
    return this.#hasEnded && this.#owedCount === 0 && this.wire.queuePair.sends.inFlight === 0;
  }

  poll(): boolean {
    const arrived = this.#collectWire();
    const written = this.#collectWrites();
    if (this.#owedCount > 0) this.#pay();
    return arrived || written;
  }

  /** Blocks that have arrived: writes them. */
  #collectWire(): boolean {
    const count = this.pollWire();
    if (count === 0) return false;
    tick(this.seen);
    const { completions } = this.wire;
    let ready = 0;
    for (let index = 0; index < count; index++) {
      const isReceive = completions.isReceive(index);
      if (completions.status(index) !== 0) {
        // Who has all that was to come may go before the last credit has been acknowledged.
        if (this.#hasEnded) this.closing = true;
        else
          this.failWire(
            index,
            isReceive ? "waiting for the other end of the stream" : "a credit to the other end",
          );
        continue;
      }
      if (!isReceive || this.isOnItsOwn) continue;
      const slot = completions.immediate(index) ?? -1;
      if (this.#accept(slot)) this.#ready[ready++] = slot;
    }
    if (ready > 0) this.#passOn(ready);
    this.endRound();
    return true;
  }

  /**
   * The source has written a header for `slot`: true where it is a block's that may be written. Each
   * word is read once, as it may change any time.
   */
  #accept(slot: number): boolean {
    if (!(slot >= 0 && slot < this.flight.slots) || this.#state[slot] !== GRANTED) {
      this.distrust(`has filled slot ${slot}, which was not granted to it`);
      return false;
    }
    const words = this.wire.headers;
    const at = slot * HEADER_WORDS;
    const kind = words[at + HEADER_KIND]!;
    const number = words[at + HEADER_NUMBER]! + words[at + HEADER_NUMBER + 1]! * HIGH;
    const length = words[at + HEADER_LENGTH]!;
    if (words[at + HEADER_SLOT] !== slot || this.#hasEnded) {
      this.distrust(this.#hasEnded ? "goes on after its end" : `has no header for slot ${slot}`);
      return false;
    }
    if (kind === HeaderKind.BLOCK) return this.#acceptBlock(slot, number, length);
    this.#acceptControl(slot, kind, number);
    return false;
  }

  #acceptBlock(slot: number, number: number, length: number): boolean {
    const expected = number === this.#lastBlock ? this.#lastBlockBytes : this.#blockBytes;
    const isInRange = number >= this.#firstBlock && number <= this.#lastBlock;
    if (!isInRange || length !== expected) {
      this.distrust(`sends block ${number} of ${length} bytes, which the range does not have`);
      return false;
    }
    if (!this.#written.accept(number)) {
      this.distrust(`sends block ${number}, which is not due`);
      return false;
    }
    this.#state[slot] = TAKEN;
    this.#block[slot] = number;
    this.#length[slot] = length;
    this.#arrived[slot] = this.seen[0]!;
    return true;
  }

  #acceptControl(slot: number, kind: number, number: number): void {
    const isIdle = this.flight.commands === 0;
    if (kind === HeaderKind.BEGIN && isIdle && this.isRamping && this.#beginSlot < 0) {
      this.#state[slot] = TAKEN;
      this.#beginSlot = slot;
    } else if (kind === HeaderKind.END && isIdle && this.#isEnd(number)) {
      this.#state[slot] = TAKEN;
      this.#hasEnded = true;
      this.closing = true;
      this.#owed[this.#owedCount++] = slot;
    } else this.distrust(`sends a word of kind ${kind}, which has no place here`);
  }

  #isEnd(blocks: number): boolean {
    return !this.isRamping && blocks === this.#blocks[0] && this.#written.isComplete;
  }

  /** The first `count` slots of #ready hold blocks: submits their writes, where that may be. */
  #passOn(count: number): void {
    if (this.isOnItsOwn) {
      this.closing = true;
      return;
    }
    const ready = this.#ready;
    if (this.watchdog.isHolding) {
      for (let i = 0; i < count; i++) this.#isHeld[ready[i]!] = 1;
      return;
    }
    if (!this.passBarrier()) return;
    const { side, flight } = this;
    for (let i = 0; i < count; i++) {
      const slot = ready[i]!;
      const block = this.#block[slot]!;
      const commands = side.submit(slot, block, block === this.#lastBlock);
      flight.begin(slot, NVME_QUEUE, commands, this.seen[0]!);
    }
    side.queue.ring();
  }

  /** Writes that have finished: counts their blocks, and owes credits for their slots. */
  #collectWrites(): boolean {
    const { side } = this;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    do {
      if (queue.status !== 0) this.fail(NVME_QUEUE, queue.status, cookie);
      const slot = cookie >>> side.commandShift;
      // Halted for memory that is gone, say: what was written of it may be anything.
      if (flight.end(slot) && !this.isOnItsOwn) this.#finish(slot);
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    this.endRound();
    return true;
  }

  #finish(slot: number): void {
    if (this.#recordsLatency) this.#latency.record(this.seen[0]! - this.#arrived[slot]!);
    this.#written.add(this.#block[slot]!);
    this.#bytes[0]! += this.#length[slot]!;
    this.#blocks[0]!++;
    this.#owed[this.#owedCount++] = slot;
  }

  /** Gives the credits that are owed, as far as there is room; one completion tells of all of them. */
  #pay(): void {
    const { sends } = this.wire.queuePair;
    const { room } = sends;
    if (room === 0 || this.isOnItsOwn || this.#written.isFarAhead) return;
    const left = this.#owedCount > room ? this.#owedCount - room : 0;
    while (this.#owedCount > left) {
      const slot = this.#owed[--this.#owedCount]!;
      this.grant();
      this.#state[slot] = GRANTED;
      const flags = this.#owedCount === left ? SendFlag.SIGNALED : 0;
      // Not a write: a source lets nobody write.
      sends.write(slot, Opcode.SEND_WITH_IMMEDIATE, flags, 0, 0, 0, 0, 0, slot);
    }
    this.flushWire();
  }

  /** All that begins here is begun by the other end. */
  protected begin(): boolean {
    return false;
  }

  protected override publish(): void {
    super.publish();
    this.#written.publish();
  }

  /** Goes on with the blocks that have arrived meanwhile. */
  protected override resume(): void {
    let count = 0;
    for (let slot = 0; slot < this.flight.slots; slot++) {
      if (this.#isHeld[slot] === 0) continue;
      this.#isHeld[slot] = 0;
      this.#ready[count++] = slot;
    }
    if (count > 0) this.#passOn(count);
  }

  protected reset(): void {
    this.#rampBytes[0] = this.#bytes[0]!;
    this.#bytes[0] = 0;
    this.#blocks[0] = 0;
    this.#latency.clear();
    // Only now may what counts come.
    if (this.#beginSlot >= 0) this.#owed[this.#owedCount++] = this.#beginSlot;
  }

  protected get bytes(): number {
    return this.#bytes[0]!;
  }

  protected commandOf(_queue: number, cookie: number): EngineCommand {
    const block = this.#block[cookie >>> this.side.commandShift]!;
    return this.side.commandOf("Write", cookie, block, block === this.#lastBlock);
  }
}
