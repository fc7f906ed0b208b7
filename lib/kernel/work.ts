import { Random } from "../perf/random.js";
import { Histogram } from "../reactor/histogram.js";
import type { CopyWork, IoWork, KernelJob, Place, TargetIos } from "./job.js";
import type { Requests } from "./requests.js";

/** What an engine's slots do. For its loop: nothing allocates. */
export interface Work {
  /** Submits the first request of the next I/O in `slot`; false where its target has none left. */
  begin(slot: number, seen: Float64Array): boolean;
  /** No target has any I/O left to begin. */
  readonly isDone: boolean;
  /** The request of `slot` has succeeded. True where the I/O is over; else the next was submitted. */
  end(slot: number, seen: Float64Array): boolean;
  /** Nothing has been done yet; a ramp goes on until it is ended. */
  reset(isRamping: boolean): void;
  /** I/Os by target, since reset(); none of a copy. */
  counts(): TargetIos[];
}

/** I/Os to do once the ramp is over. */
function workLimit({ endsWithWork }: KernelJob, work: number): number {
  return endsWithWork === true ? work : Infinity;
}

export function workOf(job: KernelJob, requests: Requests): Work {
  return job.work.kind === "copy"
    ? new Copying(job, job.work, requests)
    : new Doing(job, job.work, requests);
}

/** Blocks: each is read into its slot, and written from there. */
class Copying implements Work {
  readonly #requests: Requests;
  readonly #source: Place;
  readonly #destination: Place;
  readonly #blocks: number;
  readonly #blockBytes: number;
  readonly #lastBytes: number;
  readonly #work: number;
  readonly #latency: Histogram;
  readonly #begun: Float64Array;
  readonly #block: Float64Array;
  readonly #left = new Float64Array(1);
  #next = 0;

  constructor(job: KernelJob, work: CopyWork, requests: Requests) {
    this.#requests = requests;
    this.#source = work.source;
    this.#destination = work.destination;
    this.#blocks = work.blocks;
    this.#blockBytes = job.ioBytes;
    this.#lastBytes = work.lastBytes;
    this.#work = workLimit(job, work.work);
    this.#latency = new Histogram(job.readLatency);
    this.#begun = new Float64Array(job.slots);
    this.#block = new Float64Array(job.slots);
  }

  begin(slot: number, seen: Float64Array): boolean {
    if (this.isDone) return false;
    this.#left[0]!--;
    const block = this.#next;
    this.#next = block + 1 === this.#blocks ? 0 : block + 1;
    const length = block === this.#blocks - 1 ? this.#lastBytes : this.#blockBytes;
    this.#block[slot] = block;
    this.#begun[slot] = seen[0]!;
    const { file, offset } = this.#source;
    this.#requests.submit(slot, false, file, offset + block * this.#blockBytes, length);
    return true;
  }

  get isDone(): boolean {
    return this.#left[0] === 0;
  }

  end(slot: number, seen: Float64Array): boolean {
    if (this.#requests.isWrite(slot)) {
      this.#latency.record(seen[0]! - this.#begun[slot]!);
      return true;
    }
    const { file, offset } = this.#destination;
    const at = offset + this.#block[slot]! * this.#blockBytes;
    this.#requests.submit(slot, true, file, at, this.#requests.lengthOf(slot));
    return false;
  }

  reset(isRamping: boolean): void {
    this.#left[0] = isRamping ? Infinity : this.#work;
    this.#latency.clear();
  }

  counts(): TargetIos[] {
    return [];
  }
}

/** Reads and writes, of as many places at once as there are targets. */
class Doing implements Work {
  readonly #requests: Requests;
  readonly #targets: IoWork["targets"];
  readonly #depth: number;
  readonly #ioBytes: number;
  readonly #isRandom: boolean;
  /** An I/O is a read if 32 random bits are below this. */
  readonly #readBelow: number;
  readonly #random: Random;
  readonly #reads: Histogram;
  readonly #writes: Histogram;
  readonly #begun: Float64Array;
  /** By target: the next I/O of a sequential pattern. */
  readonly #next: Float64Array;
  /** By target: I/Os to do, and those that are not begun yet. */
  readonly #work: Float64Array;
  readonly #left: Float64Array;
  /** By target: reads and writes. */
  readonly #counts: Float64Array;

  constructor(job: KernelJob, work: IoWork, requests: Requests) {
    this.#requests = requests;
    this.#targets = work.targets;
    this.#depth = job.slots / work.targets.length;
    this.#ioBytes = job.ioBytes;
    this.#isRandom = work.isRandom;
    this.#readBelow = (work.readPercent / 100) * 2 ** 32;
    this.#random = new Random(job.seed);
    this.#reads = new Histogram(job.readLatency);
    this.#writes = new Histogram(job.writeLatency);
    this.#begun = new Float64Array(job.slots);
    this.#next = new Float64Array(work.targets.length);
    this.#work = Float64Array.from(work.targets, (target) => workLimit(job, target.work));
    this.#left = new Float64Array(work.targets.length);
    this.#counts = new Float64Array(2 * work.targets.length);
  }

  begin(slot: number, seen: Float64Array): boolean {
    const index = Math.floor(slot / this.#depth);
    if (this.#left[index] === 0) return false;
    this.#left[index]!--;
    const target = this.#targets[index]!;
    const isWrite = this.#random.next() >>> 0 >= this.#readBelow;
    let io: number;
    if (this.#isRandom) io = this.#random.below(target.ios);
    else {
      io = this.#next[index]!;
      this.#next[index] = io + 1 === target.ios ? 0 : io + 1;
    }
    this.#begun[slot] = seen[0]!;
    const offset = target.offset + io * this.#ioBytes;
    this.#requests.submit(slot, isWrite, target.file, offset, this.#ioBytes);
    return true;
  }

  get isDone(): boolean {
    for (let i = 0; i < this.#left.length; i++) if (this.#left[i] !== 0) return false;
    return true;
  }

  end(slot: number, seen: Float64Array): boolean {
    const isWrite = this.#requests.isWrite(slot);
    const latency = isWrite ? this.#writes : this.#reads;
    latency.record(seen[0]! - this.#begun[slot]!);
    this.#counts[2 * Math.floor(slot / this.#depth) + (isWrite ? 1 : 0)]!++;
    return true;
  }

  reset(isRamping: boolean): void {
    for (let i = 0; i < this.#left.length; i++)
      this.#left[i] = isRamping ? Infinity : this.#work[i]!;
    this.#reads.clear();
    this.#writes.clear();
    this.#counts.fill(0);
  }

  counts(): TargetIos[] {
    return this.#targets.map((_, index) => ({
      reads: this.#counts[2 * index]!,
      writes: this.#counts[2 * index + 1]!,
    }));
  }
}
