import type { EngineOutcome } from "../reactor/engine-job.js";
import { Histogram } from "../reactor/histogram.js";
import type { PartJob, PartOutcome } from "./part-job.js";

/** Which block of a part comes next, and what those that arrived took. For the poll loop. */
export class Progress {
  readonly #latency: Histogram;
  readonly #recordsLatency: boolean;
  readonly #rangeBlocks: number;
  /** How many to begin, in arrays as all that may be no small integer: a field would make garbage. */
  readonly #work: number;
  readonly #left = new Float64Array(1);
  readonly #bytes = new Float64Array(1);
  readonly #blocks = new Float64Array(1);
  readonly #rampBytes = new Float64Array(1);
  readonly #next = new Float64Array(1);
  /** By slot: number of its block, when it was begun. */
  readonly #block: Float64Array;
  readonly #begun: Float64Array;

  constructor(job: PartJob) {
    this.#latency = new Histogram(job.latency);
    this.#recordsLatency = job.recordsLatency;
    this.#rangeBlocks = job.rangeBlocks;
    this.#work =
      job.runtimeNs === null || job.endsWithWork === true ? job.loops * job.rangeBlocks : Infinity;
    this.#block = new Float64Array(job.slots);
    this.#begun = new Float64Array(job.slots);
  }

  /** From the start of the part on; a ramp goes on until it is ended. */
  reset(isRamping: boolean): void {
    this.#rampBytes[0] = this.#bytes[0]!;
    this.#left[0] = isRamping ? Infinity : this.#work;
    this.#bytes[0] = 0;
    this.#blocks[0] = 0;
    this.#next[0] = 0;
    this.#latency.clear();
  }

  /** The number of the next block, which is begun in `slot` at the time `seen`; -1: there is none. */
  begin(slot: number, seen: Float64Array): number {
    if (this.#left[0] === 0) return -1;
    this.#left[0]!--;
    const block = this.#next[0]!;
    this.#next[0] = block + 1 === this.#rangeBlocks ? 0 : block + 1;
    this.#block[slot] = block;
    this.#begun[slot] = seen[0]!;
    return block;
  }

  blockOf(slot: number): number {
    return this.#block[slot]!;
  }

  /** The block of `slot` has arrived. */
  finish(slot: number, bytes: number, seen: Float64Array): void {
    if (this.#recordsLatency) this.#latency.record(seen[0]! - this.#begun[slot]!);
    this.#bytes[0]! += bytes;
    this.#blocks[0]!++;
  }

  get bytes(): number {
    return this.#bytes[0]!;
  }

  get blocks(): number {
    return this.#blocks[0]!;
  }

  /** `isRamping`: nothing has counted. */
  outcome(outcome: EngineOutcome, isRamping: boolean): PartOutcome {
    const [bytes, blocks] = isRamping ? [0, 0] : [this.#bytes[0]!, this.#blocks[0]!];
    const rampBytes = isRamping ? this.#bytes[0]! : this.#rampBytes[0]!;
    return { ...outcome, bytes, blocks, rampBytes };
  }
}
