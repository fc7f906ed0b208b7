import { Progress } from "../io/progress.js";
import type { Registrar } from "../io/registrar.js";
import { Side } from "../io/side.js";
import type { QueuePair } from "../nvme/queues/queue-pair.js";
import { tick } from "../reactor/clock.js";
import { Engine } from "../reactor/engine.js";
import type { EngineCommand, EngineThread } from "../reactor/engine-job.js";
import type { Handoff } from "./handoff.js";
import { READ_QUEUE, WRITE_QUEUE } from "./job.js";
import type { CopyJob, CopyOutcome } from "./job.js";

/**
 * The pipelined copy: `slots` blocks in flight, each read from the source into its slot's buffer,
 * then written from there to the destination. One poll loop over two queue pairs which neither
 * allocates nor calls native code for an I/O; per batch there is one doorbell store, two looks at
 * the clock, and the path's handoff (see handoff.ts).
 */
export class CopyEngine extends Engine {
  readonly #read: Side;
  readonly #write: Side;
  readonly #handoff: Handoff;
  readonly #progress: Progress;

  readonly #blockBytes: number;
  readonly #lastBlockBytes: number;
  readonly #lastBlock: number;

  /** By slot: bytes of its block. */
  readonly #length: Float64Array;
  /** By slot: its block has been read, and must not be written yet. */
  readonly #isHeld: Uint8Array;
  /** The slots whose blocks have been read in this round. */
  readonly #ready: Int32Array;

  /** `queues`, `registrars`: READ_QUEUE and WRITE_QUEUE; a registrar where the job has one. */
  constructor(
    job: CopyJob,
    queues: readonly QueuePair[],
    registrars: readonly (Registrar | null)[],
    handoff: Handoff,
    thread: EngineThread,
  ) {
    const sides = [job.read, job.write].map(
      (side, index) => new Side(index, side, queues[index]!, registrars[index] ?? null),
    );
    super(job, job.slots, sides, thread);
    [this.#read, this.#write] = sides as [Side, Side];
    this.#handoff = handoff;
    this.#progress = new Progress(job);
    this.#blockBytes = job.blockBytes;
    this.#lastBlockBytes = job.lastBlockBytes;
    this.#lastBlock = job.rangeBlocks - 1;
    this.#length = new Float64Array(job.slots);
    this.#isHeld = new Uint8Array(job.slots);
    this.#ready = new Int32Array(job.slots);
  }

  /** See Engine. */
  run(): CopyOutcome {
    this.runAll();
    return this.outcome();
  }

  outcome(): CopyOutcome {
    return this.#progress.outcome(this.outcomeSoFar(), this.isRamping);
  }

  poll(): boolean {
    const reads = this.#collectReads();
    return this.#collectWrites() || reads;
  }

  /** Reads that have finished: hands their blocks on and submits the writes. */
  #collectReads(): boolean {
    const side = this.#read;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    const ready = this.#ready;
    let count = 0;
    do {
      if (queue.status !== 0) this.fail(READ_QUEUE, queue.status, cookie);
      const slot = cookie >>> side.commandShift;
      if (flight.end(slot)) {
        if (side.registrar !== null) this.#unregister(side.registrar, slot);
        ready[count++] = slot;
      }
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (count > 0) this.#passOn(count);
    this.endRound();
    return true;
  }

  /** Writes that have finished: counts their blocks and begins the next ones in their slots. */
  #collectWrites(): boolean {
    const side = this.#write;
    const queue = side.queue;
    let cookie = side.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    const progress = this.#progress;
    if (this.control.isStopping) this.closing = true;
    let begun = false;
    do {
      if (queue.status !== 0) this.fail(WRITE_QUEUE, queue.status, cookie);
      const slot = cookie >>> side.commandShift;
      if (flight.end(slot)) {
        if (side.registrar !== null) this.#unregister(side.registrar, slot);
        if (!this.hasFailed) {
          progress.finish(slot, this.#length[slot]!, this.seen);
          if (this.isFlowing && this.begin(slot)) begun = true;
        }
      }
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (begun) this.#read.queue.ring();
    this.endRound();
    return true;
  }

  /** The first `count` slots of #ready hold blocks: submits their writes, where that may be. */
  #passOn(count: number): void {
    if (this.hasFailed || this.control.isHalting) {
      // What the peer's memory holds, or whether the device takes it, is not known any more.
      this.closing = true;
      return;
    }
    const ready = this.#ready;
    if (this.watchdog.isHolding) {
      for (let i = 0; i < count; i++) this.#isHeld[ready[i]!] = 1;
      return;
    }
    if (!this.#handOff(count)) return;
    let begun = false;
    for (let i = 0; i < count; i++) if (this.#submit(this.#write, ready[i]!)) begun = true;
    if (begun) this.#write.queue.ring();
  }

  /** False where it has failed. What is in flight must be waited for all the same. */
  #handOff(count: number): boolean {
    try {
      this.#handoff.move(this.#ready, count, this.#length);
      return true;
    } catch (error) {
      this.failFor(error);
      return false;
    }
  }

  /** Submits the read of the next block into `slot`. */
  protected begin(slot: number): boolean {
    if (this.closing) return false;
    const block = this.#progress.begin(slot, this.seen);
    if (block < 0) {
      this.closing = true;
      return false;
    }
    this.#length[slot] = block === this.#lastBlock ? this.#lastBlockBytes : this.#blockBytes;
    return this.#submit(this.#read, slot);
  }

  /** All commands of one half of the block that `slot` holds; false where that cannot be. */
  #submit(side: Side, slot: number): boolean {
    const block = this.#progress.blockOf(slot);
    const isLast = block === this.#lastBlock;
    const { pointers } = isLast ? side.last : side.whole;
    if (side.registrar !== null && !this.#register(side.registrar, slot, pointers)) return false;
    const commands = side.submit(slot, block, isLast);
    this.flight.begin(slot, side.index, commands, this.seen[0]!);
    return true;
  }

  /** False where it has failed. What is in flight must be waited for all the same. */
  #register(registrar: Registrar, slot: number, pointers: Int32Array): boolean {
    try {
      registrar.begin(slot, this.#length[slot]!, pointers);
      return true;
    } catch (error) {
      this.failFor(error);
      return false;
    }
  }

  #unregister(registrar: Registrar, slot: number): void {
    try {
      registrar.end(slot);
    } catch (error) {
      this.failFor(error);
    }
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

  protected reset(): void {
    this.#progress.reset(this.isRamping);
  }

  protected get bytes(): number {
    return this.#progress.bytes;
  }

  protected commandOf(queue: number, cookie: number): EngineCommand {
    const [side, command] =
      queue === READ_QUEUE ? ([this.#read, "Read"] as const) : ([this.#write, "Write"] as const);
    const block = this.#progress.blockOf(cookie >>> side.commandShift);
    return side.commandOf(command, cookie, block, block === this.#lastBlock);
  }
}
