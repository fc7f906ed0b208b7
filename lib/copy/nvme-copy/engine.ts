import { copyDword12, entryBytes } from "../../nvme/commands/copy.js";
import type { QueuePair } from "../../nvme/queues/queue-pair.js";
import { Copy } from "../../nvme/spec.js";
import { now, since } from "../../reactor/clock.js";
import { ControlBlock } from "../../reactor/control-block.js";
import { Flight } from "../../reactor/flight.js";
import { Histogram } from "../../reactor/histogram.js";
import { IDLE_POLLS, YIELD_POLLS } from "../../reactor/idle.js";
import { tellsMore, Watchdog } from "../../reactor/watchdog.js";
import type { CopyFailure, CopyOutcome } from "../job.js";
import { COPY_QUEUE, type NvmeCopyJob } from "./job.js";

const HIGH = 2 ** 32;

/**
 * Has the controller copy by itself: `slots` blocks in flight, each by as many Copy commands as its
 * length takes, whose descriptors are rewritten in place. As with CopyEngine nothing is allocated
 * and no native code is called for an I/O.
 */
export class NvmeCopyEngine {
  readonly #queue: QueuePair;
  readonly #yield: () => void;
  readonly #control: ControlBlock;
  readonly #latency: Histogram;
  readonly #flight: Flight;
  readonly #watchdog: Watchdog;
  /** The lists of descriptors. */
  readonly #words: Int32Array;

  readonly #nsid: number;
  readonly #sourceLba: number;
  readonly #lba: number;
  readonly #blocks: number;
  readonly #lastBlocks: number;
  readonly #blockSize: number;
  readonly #commandBlocks: number;
  readonly #maxRangeBlocks: number;
  readonly #format: NvmeCopyJob["format"];
  readonly #entryWords: number;
  readonly #listWords: number;
  readonly #listIova: number;
  /** A cookie is the slot's number, shifted by so many bits, plus the number of the command. */
  readonly #commandShift: number;
  /** Commands of a whole block: as many lists each slot has. */
  readonly #commands: number;

  readonly #rangeBlocks: number;
  readonly #wraps: boolean;
  readonly #runtimeNs: number;
  readonly #epoch: number;

  /** By slot: number of its block, when it was begun. */
  readonly #block: Float64Array;
  readonly #begun: Float64Array;

  #next = 0;
  #closing = false;
  #isLost = false;
  #failure: CopyFailure | null = null;
  #deadline = Infinity;
  #lastSeen = 0;
  #copied = 0;
  #finished = 0;
  #busyNs = 0;

  /** `lists`: the memory of the job's lists. `yieldProcessor`: as of CopyEngine. */
  constructor(job: NvmeCopyJob, queue: QueuePair, lists: ArrayBuffer, yieldProcessor: () => void) {
    this.#queue = queue;
    this.#yield = yieldProcessor;
    this.#control = new ControlBlock(job.control);
    this.#latency = new Histogram(job.latency);
    this.#flight = new Flight(job.slots);
    this.#words = new Int32Array(lists);
    this.#nsid = job.nsid;
    this.#sourceLba = job.sourceLba;
    this.#lba = job.lba;
    this.#blockSize = job.blockSize;
    this.#blocks = job.blockBytes / job.blockSize;
    this.#lastBlocks = job.lastBlockBytes / job.blockSize;
    this.#commandBlocks = job.commandBlocks;
    this.#maxRangeBlocks = job.maxRangeBlocks;
    this.#format = job.format;
    this.#entryWords = entryBytes(job.format) / 4;
    this.#listWords = job.lists.stride / 4;
    this.#listIova = job.lists.iova;
    this.#commands = Math.ceil(this.#blocks / job.commandBlocks);
    this.#commandShift = 32 - Math.clz32(this.#commands - 1);
    this.#watchdog = new Watchdog(this.#control, this.#flight, [
      { queue, commandShift: this.#commandShift, timeoutNs: job.timeoutNs },
    ]);
    this.#rangeBlocks = job.rangeBlocks;
    this.#wraps = job.runtimeNs !== null;
    this.#runtimeNs = job.runtimeNs ?? Infinity;
    this.#epoch = job.epoch;
    this.#block = new Float64Array(job.slots);
    this.#begun = new Float64Array(job.slots);
  }

  /** As of CopyEngine. */
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
      if (this.#collect()) idle = 0;
      else if (++idle % IDLE_POLLS === 0) {
        this.#look(now());
        if (idle >= YIELD_POLLS) this.#yield();
      }
    }
    return {
      bytes: this.#copied * this.#blockSize,
      blocks: this.#finished,
      beganNs: since(this.#epoch, began),
      endedNs: since(this.#epoch, this.#lastSeen),
      busyNs: this.#busyNs,
      failure: this.#failure,
    };
  }

  /** Commands that have finished: counts their blocks and begins the next ones in their slots. */
  #collect(): boolean {
    const queue = this.#queue;
    let cookie = this.#isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    const seen = now();
    const flight = this.#flight;
    const isHolding = this.#watchdog.isHolding;
    if (seen >= this.#deadline || this.#control.isStopping) this.#closing = true;
    let begun = false;
    do {
      if (queue.status !== 0) this.#fail(cookie);
      const slot = cookie >>> this.#commandShift;
      if (flight.end(slot) && this.#failure === null) {
        this.#latency.record(seen - this.#begun[slot]!);
        this.#copied += this.#blocksOf(this.#block[slot]!);
        this.#finished++;
        if (!isHolding && this.#begin(slot, seen)) begun = true;
      }
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (begun) queue.ring();
    this.#control.bytes = this.#copied * this.#blockSize;
    this.#lastSeen = seen;
    if (seen >= this.#watchdog.next) this.#look(seen);
    this.#busyNs += now() - seen;
    return true;
  }

  /** Begins a block in each slot that has none, as far as there are any. */
  #beginIdle(time: number): void {
    let begun = false;
    for (let slot = 0; slot < this.#flight.slots; slot++)
      if (this.#flight.isIdle(slot) && this.#begin(slot, time)) begun = true;
    if (begun) this.#queue.ring();
  }

  /** Submits the next block in `slot`; false where there is nothing more to begin. */
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
    this.#begun[slot] = time;
    this.#submit(slot, block, time);
    return true;
  }

  #submit(slot: number, block: number, time: number): void {
    const first = block * this.#blocks;
    const end = first + this.#blocksOf(block);
    let list = slot * this.#commands;
    let cookie = slot << this.#commandShift;
    let commands = 0;
    for (let at = first; at < end; at += this.#commandBlocks) {
      const left = end - at;
      const blocks = left < this.#commandBlocks ? left : this.#commandBlocks;
      const ranges = this.#describe(list * this.#listWords, this.#sourceLba + at, blocks);
      const iova = this.#listIova + list * this.#listWords * 4;
      this.#queue.submit(
        Copy.OPCODE,
        this.#nsid,
        this.#lba + at,
        // What submit() takes one from is dword 12.
        copyDword12(ranges, this.#format) + 1,
        iova | 0,
        (iova / HIGH) | 0,
        0,
        0,
        cookie,
      );
      list++;
      cookie++;
      commands++;
    }
    this.#flight.begin(slot, COPY_QUEUE, commands, time);
  }

  /** Writes the ranges of a command's source into its list, which no command uses; says how many. */
  #describe(word: number, lba: number, blocks: number): number {
    const words = this.#words;
    let ranges = 0;
    for (let done = 0; done < blocks; done += this.#maxRangeBlocks) {
      const from = lba + done;
      const left = blocks - done;
      words[word + Copy.SLBA_AT / 4] = from;
      words[word + Copy.SLBA_AT / 4 + 1] = (from / HIGH) | 0;
      words[word + Copy.NLB_AT / 4] =
        (left < this.#maxRangeBlocks ? left : this.#maxRangeBlocks) - 1;
      word += this.#entryWords;
      ranges++;
    }
    return ranges;
  }

  #blocksOf(block: number): number {
    return block === this.#rangeBlocks - 1 ? this.#lastBlocks : this.#blocks;
  }

  #fail(cookie: number): void {
    const { status } = this.#queue;
    if (this.#watchdog.isEndOfOverdue(COPY_QUEUE, status)) this.#timeOut();
    else this.#giveUp({ kind: "status", queue: COPY_QUEUE, status, ...this.#commandOf(cookie) });
  }

  /** The command that was overdue has not completed in time. */
  #timeOut(): void {
    const command = this.#commandOf(this.#watchdog.overdueCookie);
    this.#giveUp({ kind: "timeout", queue: COPY_QUEUE, ...command });
  }

  #giveUp(failure: CopyFailure): void {
    this.#closing = true;
    if (tellsMore(failure, this.#failure)) this.#failure = failure;
  }

  /** The blocks that a command writes. */
  #commandOf(cookie: number): { lba: number; blocks: number } {
    const slot = cookie >>> this.#commandShift;
    const block = this.#block[slot]!;
    const skipped = (cookie - (slot << this.#commandShift)) * this.#commandBlocks;
    return {
      lba: this.#lba + block * this.#blocks + skipped,
      blocks: Math.min(this.#commandBlocks, this.#blocksOf(block) - skipped),
    };
  }

  /** Now and then: is there still someone to wait for? */
  #look(time: number): void {
    if (this.#control.isStopping) this.#closing = true;
    const isReleased = this.#watchdog.look(time);
    const { failure } = this.#watchdog;
    if (failure !== null) {
      this.#isLost = true;
      if (failure.kind === "timeout") this.#timeOut();
      else this.#giveUp(failure);
    }
    if (isReleased) this.#beginIdle(time);
  }
}
