import type { QueuePair } from "../nvme/queues/queue-pair.js";
import type { Registrar } from "../io/registrar.js";
import { IoOpcode } from "../nvme/spec.js";
import type { EngineQueue } from "../reactor/engine.js";
import type { EngineJob } from "../reactor/engine-job.js";
import { Histogram } from "../reactor/histogram.js";
import type { LaneJob, TargetJob } from "./job.js";
import type { Writers } from "../verify/writers.js";
import { Random } from "./random.js";

/** A namespace, as one thread drives it: where its next I/O goes, and what they took. */
export class Target {
  readonly nsid: number;
  readonly lba: number;
  readonly ios: number;
  readonly ioBlocks: number;
  readonly commandBlocks: number;
  /** Commands of one I/O. */
  readonly commands: number;
  readonly isRandom: boolean;
  readonly writers: Writers | null;
  /** An I/O is a read if 32 random bits are below this. */
  readonly readBelow: number;
  readonly #readLatency: Histogram;
  readonly #writeLatency: Histogram;
  readonly #recordsLatency: boolean;
  readonly #work: number;
  /** In arrays, as all that may be no small integer: a field of its kind makes garbage. */
  readonly #reads = new Float64Array(1);
  readonly #writes = new Float64Array(1);
  readonly #left = new Float64Array(1);
  #next = 0;

  constructor(job: TargetJob, { runtimeNs, endsWithWork, recordsLatency }: EngineJob) {
    this.nsid = job.nsid;
    this.lba = job.lba;
    this.ios = job.ios;
    this.ioBlocks = job.ioBlocks;
    this.commandBlocks = job.commandBlocks;
    this.commands = Math.ceil(job.ioBlocks / job.commandBlocks);
    this.isRandom = job.isRandom;
    this.writers = job.writers;
    this.readBelow = (job.readPercent / 100) * 2 ** 32;
    this.#readLatency = new Histogram(job.readLatency);
    this.#writeLatency = new Histogram(job.writeLatency);
    this.#recordsLatency = recordsLatency;
    this.#work = runtimeNs === null || endsWithWork === true ? job.work : Infinity;
  }

  /** Takes one of the I/Os that are to be done; false where there is none left. */
  take(): boolean {
    if (this.#left[0] === 0) return false;
    this.#left[0]!--;
    return true;
  }

  /** Of a sequential pattern, whose lanes go through the range together: the next, round and round. */
  nextIo(): number {
    const io = this.#next;
    this.#next = io + 1 === this.ios ? 0 : io + 1;
    return io;
  }

  /** An I/O has completed, which took so many nanoseconds. */
  count(isRead: boolean, took: number): void {
    if (isRead) this.#reads[0]!++;
    else this.#writes[0]!++;
    if (!this.#recordsLatency) return;
    const latency = isRead ? this.#readLatency : this.#writeLatency;
    latency.record(took);
  }

  /** None of them is left. */
  get isDone(): boolean {
    return this.#left[0] === 0;
  }

  /** I/Os that have completed. */
  get reads(): number {
    return this.#reads[0]!;
  }

  get writes(): number {
    return this.#writes[0]!;
  }

  /** Nothing has been done yet; a ramp goes on until it is ended. */
  reset(isRamping: boolean): void {
    this.#left[0] = isRamping ? Infinity : this.#work;
    this.#reads[0] = 0;
    this.#writes[0] = 0;
    this.#readLatency.clear();
    this.#writeLatency.clear();
  }
}

/** What a lane needs that its thread has opened. */
export interface LaneResources {
  queue: QueuePair;
  registrar: Registrar | null;
}

/** A queue pair, and the I/Os that are in flight on it. */
export class Lane implements EngineQueue {
  readonly target: Target;
  /** Its number among the thread's queues. */
  readonly index: number;
  readonly queue: QueuePair;
  isLost = false;
  readonly timeoutNs: number;
  /** Null where memory stays mapped. */
  readonly registrar: Registrar | null;
  /** Its slots are numbered from here on, as all of a thread's are. */
  readonly firstSlot: number;
  readonly slots: number;
  readonly firstMark: number;
  readonly #readBuffers: number;
  readonly pointers: Int32Array;
  readonly flags: number;
  readonly random: Random;
  readonly commandShift: number;
  /** By slot, from the lane's first: what the I/O does, its first block, when it was begun. */
  readonly opcode: Int32Array;
  readonly firstLba: Float64Array;
  readonly begun: Float64Array;
  readonly #acknowledgeAfter: number;
  #unacknowledged = 0;

  constructor(
    target: Target,
    index: number,
    job: LaneJob,
    { queue, registrar }: LaneResources,
    firstSlot: number,
    seed: number,
  ) {
    this.target = target;
    this.index = index;
    this.queue = queue;
    this.registrar = registrar;
    this.timeoutNs = job.timeoutNs;
    this.firstSlot = firstSlot;
    this.slots = job.slots;
    this.firstMark = job.firstMark;
    this.#readBuffers = job.readBuffers;
    this.pointers = job.pointers;
    this.flags = job.flags;
    this.random = new Random(seed + index);
    this.commandShift = 32 - Math.clz32(target.commands - 1);
    this.opcode = new Int32Array(job.slots);
    this.firstLba = new Float64Array(job.slots);
    this.begun = new Float64Array(job.slots);
    this.#acknowledgeAfter = job.acknowledgeAfter;
  }

  /** Which of the lane's buffers an I/O of its slot `own` goes to or comes from. */
  bufferOf(own: number): number {
    return this.opcode[own] === IoOpcode.READ ? own + this.#readBuffers : own;
  }

  /** An I/O has completed: the time since it was submitted, or shortly before. */
  finish(slot: number, seen: Float64Array): void {
    const own = slot - this.firstSlot;
    this.target.count(this.opcode[own] === IoOpcode.READ, seen[0]! - this.begun[own]!);
  }

  /**
   * So many more completions were taken. Their entries are given back when the queue would get
   * short of them, not with each batch: that spares most of the stores to a doorbell.
   */
  acknowledge(taken: number): void {
    this.#unacknowledged += taken;
    if (this.#unacknowledged < this.#acknowledgeAfter) return;
    this.#unacknowledged = 0;
    this.queue.acknowledge();
  }
}
