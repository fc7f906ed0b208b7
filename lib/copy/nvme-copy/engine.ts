import { Progress } from "../../io/progress.js";
import { copyDword12, entryBytes } from "../../nvme/commands/copy.js";
import type { QueuePair } from "../../nvme/queues/queue-pair.js";
import { Copy } from "../../nvme/spec.js";
import { tick } from "../../reactor/clock.js";
import { Engine, type EngineQueue } from "../../reactor/engine.js";
import type { EngineCommand, EngineThread } from "../../reactor/engine-job.js";
import type { CopyOutcome } from "../job.js";
import { COPY_QUEUE, type NvmeCopyJob } from "./job.js";

const HIGH = 2 ** 32;

/**
 * Has the controller copy by itself: `slots` blocks in flight, each by as many Copy commands as its
 * length takes, whose descriptors are rewritten in place. As with CopyEngine nothing is allocated
 * and no native code is called for an I/O.
 */
export class NvmeCopyEngine extends Engine {
  readonly #queue: EngineQueue;
  readonly #progress: Progress;
  /** The lists of descriptors. */
  readonly #words: Int32Array;

  readonly #nsid: number;
  readonly #sourceLba: number;
  readonly #lba: number;
  readonly #blocks: number;
  readonly #lastBlocks: number;
  readonly #lastBlock: number;
  readonly #blockSize: number;
  readonly #commandBlocks: number;
  readonly #maxRangeBlocks: number;
  readonly #format: NvmeCopyJob["format"];
  readonly #entryWords: number;
  readonly #listWords: number;
  readonly #listIova: number;
  readonly #commandShift: number;
  /** Commands of a whole block: as many lists each slot has. */
  readonly #commands: number;

  /** `lists`: the memory of the job's lists. */
  constructor(job: NvmeCopyJob, pair: QueuePair, lists: ArrayBuffer, thread: EngineThread) {
    const blocks = job.blockBytes / job.blockSize;
    const commands = Math.ceil(blocks / job.commandBlocks);
    const commandShift = 32 - Math.clz32(commands - 1);
    const queue = { queue: pair, commandShift, timeoutNs: job.timeoutNs, isLost: false };
    super(job, job.slots, [queue], thread);
    this.#queue = queue;
    this.#progress = new Progress(job);
    this.#words = new Int32Array(lists);
    this.#nsid = job.nsid;
    this.#sourceLba = job.sourceLba;
    this.#lba = job.lba;
    this.#blockSize = job.blockSize;
    this.#blocks = blocks;
    this.#lastBlocks = job.lastBlockBytes / job.blockSize;
    this.#lastBlock = job.rangeBlocks - 1;
    this.#commandBlocks = job.commandBlocks;
    this.#maxRangeBlocks = job.maxRangeBlocks;
    this.#format = job.format;
    this.#entryWords = entryBytes(job.format) / 4;
    this.#listWords = job.lists.stride / 4;
    this.#listIova = job.lists.iova;
    this.#commands = commands;
    this.#commandShift = commandShift;
  }

  /** See Engine. */
  run(): CopyOutcome {
    this.runAll();
    return this.outcome();
  }

  outcome(): CopyOutcome {
    return this.#progress.outcome(this.outcomeSoFar(), this.isRamping);
  }

  /** Commands that have finished: counts their blocks and begins the next ones in their slots. */
  poll(): boolean {
    const queue = this.#queue.queue;
    let cookie = this.#queue.isLost ? -1 : queue.next();
    if (cookie < 0) return false;
    tick(this.seen);
    const flight = this.flight;
    const progress = this.#progress;
    if (this.control.isStopping) this.closing = true;
    let begun = false;
    do {
      if (queue.status !== 0) this.fail(COPY_QUEUE, queue.status, cookie);
      const slot = cookie >>> this.#commandShift;
      if (flight.end(slot) && !this.hasFailed) {
        progress.finish(slot, this.#blocksOf(progress.blockOf(slot)) * this.#blockSize, this.seen);
        if (this.isFlowing && this.begin(slot)) begun = true;
      }
      cookie = queue.next();
    } while (cookie >= 0);
    queue.acknowledge();
    if (begun) queue.ring();
    this.endRound();
    return true;
  }

  protected begin(slot: number): boolean {
    if (this.closing) return false;
    const block = this.#progress.begin(slot, this.seen);
    if (block < 0) {
      this.closing = true;
      return false;
    }
    this.#submit(slot, block);
    return true;
  }

  #submit(slot: number, block: number): void {
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
      this.#queue.queue.submit(
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
    this.flight.begin(slot, COPY_QUEUE, commands, this.seen[0]!);
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
    return block === this.#lastBlock ? this.#lastBlocks : this.#blocks;
  }

  protected reset(): void {
    this.#progress.reset(this.isRamping);
  }

  protected get bytes(): number {
    return this.#progress.bytes;
  }

  protected commandOf(_queue: number, cookie: number): EngineCommand {
    const slot = cookie >>> this.#commandShift;
    const block = this.#progress.blockOf(slot);
    const skipped = (cookie - (slot << this.#commandShift)) * this.#commandBlocks;
    return {
      command: "Copy",
      lba: this.#lba + block * this.#blocks + skipped,
      blocks: Math.min(this.#commandBlocks, this.#blocksOf(block) - skipped),
    };
  }
}
