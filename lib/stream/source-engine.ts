import { Progress } from "../io/progress.js";
import type { QueuePair as NvmeQueuePair } from "../nvme/queues/queue-pair.js";
import { Opcode, SendFlag } from "../rdma/spec.js";
import { placesOf } from "../rdma/request-ring.js";
import { tick } from "../reactor/clock.js";
import type { EngineCommand, EngineThread } from "../reactor/engine-job.js";
import { StreamEngine } from "./engine.js";
import {
  HEADER_BYTES,
  HEADER_KIND,
  HEADER_LENGTH,
  HEADER_NUMBER,
  HEADER_SLOT,
  HEADER_WORDS,
  HeaderKind,
  HIGH,
} from "./header.js";
import { NVME_QUEUE, type SourceJob, type StreamJobOutcome } from "./job.js";
import type { Wire } from "./wire.js";

/** What a slot on the wire waits for: that the NIC is done with its memory, and that of the other end. */
const SENT = 1;
const CREDITED = 2;

/** Its words go through slot 0. */
const CONTROL_SLOT = 0;

/**
 * Reads blocks and writes each to the other end's slot of the same number, with a header, as soon as
 * both slots are free. `slots` blocks are read or on the wire at once. As with CopyEngine nothing is
 * allocated for a block.
 */
export class SourceEngine extends StreamEngine {
  readonly #progress: Progress;
  readonly #blockBytes: number;
  readonly #lastBlockBytes: number;
  readonly #lastBlock: number;
  readonly #firstBlock: number;
  /** By slot, see SendRing.writeBetween(): of the blocks, and of their headers. */
  readonly #dataPlaces: Uint32Array;
  readonly #headerPlaces: Uint32Array;

  /** By slot: bytes of its block. */
  readonly #length: Float64Array;
  /** By slot: SENT and CREDITED, as long as they have not come; 0: it is not on the wire. */
  readonly #awaited: Uint8Array;
  /** By slot: its block has been read, and must not be sent yet. */
  readonly #isHeld: Uint8Array;
  /** The slots whose blocks have been read in this round. */
  readonly #ready: Int32Array;
  /** Slots on the wire. */
  #out = 0;
  /** The word that is under way in CONTROL_SLOT; 0: none. */
  #control = 0;
  #hasEnded = false;

  constructor(job: SourceJob, queue: NvmeQueuePair, wire: Wire, thread: EngineThread) {
    super(job, queue, wire, thread);
    this.#dataPlaces = placesOf(job.slots, job.data, job.remoteData);
    const stride = HEADER_BYTES;
    const [headers, remoteHeaders] = [
      { ...job.headers, stride },
      { ...job.remoteHeaders, stride },
    ];
    this.#headerPlaces = placesOf(job.slots, headers, remoteHeaders);
    this.#progress = new Progress(job);
    this.#blockBytes = job.blockBytes;
    this.#lastBlockBytes = job.lastBlockBytes;
    this.#lastBlock = job.rangeBlocks - 1;
    this.#firstBlock = job.firstBlock;
    this.#length = new Float64Array(job.slots);
    this.#awaited = new Uint8Array(job.slots);
    this.#isHeld = new Uint8Array(job.slots);
    this.#ready = new Int32Array(job.slots);
  }

  /** See Engine. */
  run(): StreamJobOutcome {
    this.runAll();
    return this.outcome();
  }

  outcome(): StreamJobOutcome {
    const outcome = this.#progress.outcome(this.outcomeSoFar(), this.isRamping);
    return { ...outcome, wireError: this.wireError };
  }

  override get isDone(): boolean {
    if (!super.isDone) return false;
    if (this.isOnItsOwn) return true;
    return this.#out === 0 && (this.isRamping || this.#hasEnded);
  }

  poll(): boolean {
    const reads = this.#collectReads();
    const sent = this.#collectWire();
    if (this.closing && this.#out === 0) this.#end();
    return reads || sent;
  }

  /** Reads that have finished: sends their blocks. */
  #collectReads(): boolean {
    const { side } = this;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    const ready = this.#ready;
    let count = 0;
    do {
      if (queue.status !== 0) this.fail(NVME_QUEUE, queue.status, cookie);
      const slot = cookie >>> side.commandShift;
      if (flight.end(slot)) ready[count++] = slot;
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (count > 0) this.#passOn(count);
    this.endRound();
    return true;
  }

  /** The first `count` slots of #ready hold blocks: sends them, where that may be. */
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
    for (let i = 0; i < count; i++) this.#send(ready[i]!);
    this.flushWire();
  }

  /** A block, and its header after it: writes of one queue pair arrive in their order. */
  #send(slot: number): void {
    const length = this.#length[slot]!;
    this.wire.queuePair.sends.writeBetween(this.#dataPlaces, slot, slot, Opcode.WRITE, 0, length);
    const number = this.#firstBlock + this.#progress.blockOf(slot);
    this.#sendHeader(slot, HeaderKind.BLOCK, number, length);
  }

  #sendHeader(slot: number, kind: number, number: number, length: number): void {
    const words = this.wire.headers;
    const at = slot * HEADER_WORDS;
    words[at + HEADER_KIND] = kind;
    words[at + HEADER_SLOT] = slot;
    words[at + HEADER_NUMBER] = number;
    words[at + HEADER_NUMBER + 1] = number / HIGH;
    words[at + HEADER_LENGTH] = length;
    this.wire.queuePair.sends.writeBetween(
      this.#headerPlaces,
      slot,
      slot,
      Opcode.WRITE_WITH_IMMEDIATE,
      SendFlag.SIGNALED,
      HEADER_BYTES,
      slot,
    );
    this.#awaited[slot] = SENT | CREDITED;
    this.#out++;
  }

  /** A word without a block. */
  #sendControl(kind: number, number: number): void {
    this.#control = kind;
    this.#sendHeader(CONTROL_SLOT, kind, number, 0);
    this.flushWire();
  }

  /** What has been sent, and credits: begins the next blocks in the slots that have both. */
  #collectWire(): boolean {
    if (this.#out === 0) return false;
    const count = this.pollWire();
    if (count === 0) return false;
    tick(this.seen);
    if (this.control.isStopping) this.closing = true;
    const { completions } = this.wire;
    let begun = false;
    for (let index = 0; index < count; index++) {
      if (completions.status(index) !== 0) {
        this.failWire(index, this.#whatFailed(index));
        continue;
      }
      const isCredit = completions.isReceive(index);
      const slot = isCredit ? (completions.immediate(index) ?? -1) : completions.tag(index);
      const bit = isCredit ? CREDITED : SENT;
      if (isCredit) this.grant();
      if (!(slot >= 0 && slot < this.flight.slots) || (this.#awaited[slot]! & bit) === 0) {
        this.distrust(`gives a credit for slot ${slot}, which holds no block of it`);
        continue;
      }
      this.#awaited[slot]! &= ~bit;
      if (this.#awaited[slot] !== 0) continue;
      this.#out--;
      if (this.#finish(slot)) begun = true;
    }
    this.flushWire();
    if (begun) this.side.queue.ring();
    this.endRound();
    return true;
  }

  /** What `slot` held has arrived; true where the next block is begun there. */
  #finish(slot: number): boolean {
    if (this.hasFailed) return false;
    const control = this.#control;
    if (control === 0) {
      this.#progress.finish(slot, this.#length[slot]!, this.seen);
      return this.isFlowing && this.begin(slot);
    }
    this.#control = 0;
    if (control === HeaderKind.END) this.#hasEnded = true;
    else if (this.isFlowing) this.beginIdle();
    return false;
  }

  /** Submits the read of the next block into `slot`. */
  protected begin(slot: number): boolean {
    if (this.closing || this.#control !== 0) return false;
    const block = this.#progress.begin(slot, this.seen);
    if (block < 0) {
      this.closing = true;
      return false;
    }
    const isLast = block === this.#lastBlock;
    this.#length[slot] = isLast ? this.#lastBlockBytes : this.#blockBytes;
    const commands = this.side.submit(slot, block, isLast);
    this.flight.begin(slot, NVME_QUEUE, commands, this.seen[0]!);
    return true;
  }

  protected override isIdle(slot: number): boolean {
    return super.isIdle(slot) && this.#awaited[slot] === 0 && this.#isHeld[slot] === 0;
  }

  /** Once all blocks have arrived that there are: tells the other end so. */
  #end(): void {
    if (this.isRamping || this.#hasEnded || this.flight.commands > 0 || this.isOnItsOwn) return;
    this.#sendControl(HeaderKind.END, this.#progress.blocks);
  }

  /** Goes on with the blocks that were read meanwhile, too. */
  protected override resume(): void {
    let count = 0;
    for (let slot = 0; slot < this.flight.slots; slot++) {
      if (this.#isHeld[slot] === 0) continue;
      this.#isHeld[slot] = 0;
      this.#ready[count++] = slot;
    }
    if (count > 0) this.#passOn(count);
    super.resume();
  }

  /** Nothing is in flight: tells the other end that what comes now counts, and waits for its answer. */
  protected reset(): void {
    this.#progress.reset(this.isRamping);
    if (!this.isRamping && !this.hasFailed) this.#sendControl(HeaderKind.BEGIN, 0);
  }

  protected get bytes(): number {
    return this.#progress.bytes;
  }

  protected commandOf(_queue: number, cookie: number): EngineCommand {
    const block = this.#progress.blockOf(cookie >>> this.side.commandShift);
    return this.side.commandOf("Read", cookie, block, block === this.#lastBlock);
  }

  #whatFailed(index: number): string {
    const { completions } = this.wire;
    if (completions.isReceive(index)) return "waiting for the other end of the stream";
    const slot = completions.tag(index);
    if (this.#control !== 0) return "a word to the other end of the stream";
    return `the write of block ${this.#firstBlock + this.#progress.blockOf(slot)} to the other end`;
  }
}
