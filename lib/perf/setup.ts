import { openCmbMemory } from "../cmb-memory.js";
import { EngineJobs } from "../io/engine-jobs.js";
import type { JobQueue } from "../io/failure.js";
import { buildPointers } from "../io/pointers.js";
import { openRegistered } from "../io/registration.js";
import { slotStride } from "../io/room.js";
import type { P2pError } from "../errors.js";
import type { NvmeController } from "../nvme/controller.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { QueuePairOptions } from "../nvme/queues/queue-set.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import type { Session } from "../session.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { mergeWriters, type Writers } from "../verify/writers.js";
import { fillSlot, type MarkedSlots, type Written } from "../verify/written.js";
import { buffersOf, peerBytes, slotsOf, type CheckedPerf, type CheckedTarget } from "./check.js";
import type { LaneJob, PerfJob, TargetJob } from "./job.js";
import { PerfMemory, type FillBuffer } from "./memory.js";
import { isRandom, readPercentOf, type PerfPlan } from "./plan.js";
import { Random } from "./random.js";

/** Entries that a queue has at least, so that completions can be acknowledged many at a time. */
const LEAST_DEPTH = 64;

/** One thread's part of a run, and what its owner reads when it is over. */
export interface ThreadSetup {
  job: PerfJob;
  control: ControlBlock;
  /** In the order of the job's queues. */
  queues: JobQueue[];
  /** By target. */
  latency: { read: Histogram; write: Histogram }[];
}

/** The queues and the memory of one run, and the jobs that describe them to its threads. */
export class PerfSetup {
  readonly jobs: EngineJobs;
  /** Why a CMB or the provider is there no more; null while all is well. */
  revoked: P2pError | null = null;
  readonly #session: Session;
  readonly #plan: PerfPlan;
  readonly #checked: CheckedPerf;
  readonly #controls: ControlBlock[] = [];
  readonly #queues: (() => Promise<void>)[] = [];
  readonly #memory: (() => void)[] = [];
  /** What is written should not be easier to store than other data. */
  readonly #random: Random;
  /** Of all lanes so far. */
  #slots = 0;

  constructor(session: Session, plan: PerfPlan, checked: CheckedPerf) {
    this.#session = session;
    this.#plan = plan;
    this.#checked = checked;
    this.#random = new Random(plan.seed);
    this.jobs = new EngineJobs(plan, checked.jobs, plan.runtime);
  }

  /**
   * The memory of the run. If its provider is revoked meanwhile the threads stop, and finish what is
   * in flight. Errors: NO_ROOM, NO_MEMORY, MEMLOCK.
   */
  openMemory(): PerfMemory {
    const { provider = null } = this.#plan;
    const bytes = peerBytes(this.#plan, this.#checked.depth);
    return new PerfMemory(this.#session, provider, bytes, this.#revoke, this.#memory);
  }

  /** `memory`: what openMemory() gave. Errors: NO_MEMORY, MEMLOCK, and those of creating queues. */
  async openThreads(memory: PerfMemory): Promise<ThreadSetup[]> {
    const threads: ThreadSetup[] = [];
    for (let index = 0; index < this.#checked.jobs; index++)
      threads.push(await this.#openThread(index, memory));
    return threads;
  }

  /** Once the threads have ended: where marks went, and from where; null where the plan has none. */
  written(threads: readonly ThreadSetup[]): Written | null {
    const from = this.#marked();
    if (from === null) return null;
    const ranges = this.#checked.targets.flatMap(({ namespace }, index) => {
      const parts = threads.map(({ job }) => {
        const { lba, writers } = job.targets[index]!;
        return { namespace, offset: lba * namespace.blockSize, writers: writers! };
      });
      if (!isRandom(this.#plan.pattern)) return parts;
      return [{ ...parts[0]!, writers: mergeWriters(parts.map(({ writers }) => writers)) }];
    });
    return { from, ranges };
  }

  /**
   * When no thread runs any more. A queue that is deleted takes what was in flight on it along; if one
   * cannot be, a device may still reach the memory, and that goes when the session has reset the
   * controllers. Errors: those of deleting queues.
   */
  async close(): Promise<void> {
    try {
      await tryAllInTurn(this.#queues.splice(0));
    } catch (error) {
      for (const close of this.#memory.splice(0)) this.#session.retire(close);
      throw error;
    }
    tryAll(this.#memory.splice(0).reverse());
  }

  async #openThread(index: number, memory: PerfMemory): Promise<ThreadSetup> {
    const { ioSize, seed, queuePairs } = this.#plan;
    const checked = this.#checked.targets;
    const control = ControlBlock.create(checked.length * queuePairs);
    if (this.revoked) control.stop();
    this.#controls.push(control);
    const latency: ThreadSetup["latency"] = [];
    const targets: TargetJob[] = [];
    for (const target of checked) {
      const share = this.#share(target, index);
      const read = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
      const write = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
      latency.push({ read, write });
      targets.push({
        ...share,
        nsid: target.namespace.nsid,
        ioBlocks: ioSize / target.namespace.blockSize,
        commandBlocks: target.commandBytes / target.namespace.blockSize,
        isRandom: isRandom(this.#plan.pattern),
        readPercent: readPercentOf(this.#plan),
        lanes: await this.#openLanes(target, memory),
        writers: this.#openWriters(share.ios),
        readLatency: read.buffer as SharedArrayBuffer,
        writeLatency: write.buffer as SharedArrayBuffer,
      });
    }
    const job = {
      ...this.jobs.open(index, control),
      targets,
      ioBytes: ioSize,
      seed: new Random(seed + index).next(),
    };
    const queues = targets.flatMap(({ nsid, lanes }, target) => {
      const { controller } = checked[target]!.namespace;
      return lanes.map(({ queue: { qid } }) => ({ controller, qid, nsid }));
    });
    return { job, control, queues, latency };
  }

  /** Random I/O of all threads goes everywhere; of sequential I/O each has a part of the range. */
  #share(target: CheckedTarget, index: number): { lba: number; ios: number; work: number } {
    const { pattern, ioSize, loops = 1 } = this.#plan;
    const { endpoint, namespace, ios } = target;
    const { jobs } = this.#checked;
    const part = (of: number): [first: number, count: number] => {
      const first = Math.floor((of * index) / jobs);
      return [first, Math.floor((of * (index + 1)) / jobs) - first];
    };
    if (isRandom(pattern))
      return { lba: endpoint.offset / namespace.blockSize, ios, work: part(loops * ios)[1] };
    const [first, count] = part(ios);
    const lba = (endpoint.offset + first * ioSize) / namespace.blockSize;
    return { lba, ios: count, work: loops * count };
  }

  /** The depth is shared by the queue pairs, as evenly as it goes. */
  async #openLanes(target: CheckedTarget, memory: PerfMemory): Promise<LaneJob[]> {
    const { queuePairs, ioSize } = this.#plan;
    const { controller } = target.namespace;
    const commands = Math.ceil(ioSize / target.commandBytes);
    const lanes: LaneJob[] = [];
    for (let i = 0; i < queuePairs; i++) {
      const slots = slotsOf(this.#checked.depth, queuePairs, i);
      const inFlight = slots * commands;
      const firstSlot = this.#slots;
      this.#slots += slots;
      const memoryOfSlots = this.#openSlots(target, slots, firstSlot, memory);
      const wanted = Math.min(Math.max(LEAST_DEPTH, 2 * inFlight + 1), controller.maxQueueDepth);
      const queue = await this.#openQueue(controller, wanted);
      // All that is in flight finds a place in the completion queue beside what was not given back.
      const room = Math.min(queue.depth / 2, queue.depth - 2 * inFlight);
      lanes.push({
        queue,
        timeoutNs: controller.timeout * 1e6,
        slots,
        readBuffers: buffersOf(this.#plan, slots) - slots,
        firstMark: firstSlot + 1,
        ...memoryOfSlots,
        // A controller may interrupt again only once what it told of was given back.
        acknowledgeAfter: this.#plan.interrupts === true ? 1 : Math.max(1, room),
      });
    }
    return lanes;
  }

  #filler(firstSlot: number): FillBuffer {
    const { ioSize } = this.#plan;
    const marked = this.#marked();
    if (marked !== null)
      return (memory, start, index) => {
        fillSlot(memory, start, firstSlot + index, marked);
      };
    const random = this.#random;
    return ({ words }, start) => {
      for (let i = start / 4; i < (start + ioSize) / 4; i++) words[i] = random.next();
    };
  }

  #marked(): MarkedSlots | null {
    const { marks, ioSize, registration } = this.#plan;
    if (marks === undefined) return null;
    return { marks, slots: this.#slots, stride: slotStride(ioSize, registration), ioSize };
  }

  #openWriters(ios: number): Writers | null {
    if (this.#plan.marks === undefined) return null;
    return new Uint16Array(new SharedArrayBuffer(ios * Uint16Array.BYTES_PER_ELEMENT));
  }

  readonly #revoke = (error: P2pError): void => {
    this.revoked ??= error;
    for (const control of this.#controls) control.stop();
  };

  async #openQueue(controller: NvmeController, depth: number): Promise<QueuePairHandle> {
    const { interrupts = false, sqInCmb = false } = this.#plan;
    const options: QueuePairOptions = { depth, interrupts };
    if (sqInCmb) {
      const provider = await this.#session.provider(`${controller.address}/cmb`);
      const bytes = controller.submissionQueueBytes(depth);
      const inCmb = openCmbMemory(controller, provider, bytes, this.#revoke);
      this.#memory.push(() => {
        inCmb.close();
      });
      options.submissionMemory = { memoryId: inCmb.memory.id, offset: 0, iova: inCmb.iova };
    }
    const queue = await controller.createQueuePair(options);
    this.#queues.push(() => controller.deleteQueuePair(queue.qid));
    return queue;
  }

  /**
   * The buffers of a lane's slots, and the data pointer of each of their commands; lists in pinned
   * memory. `firstSlot`: its number among all of the run.
   */
  #openSlots(
    target: CheckedTarget,
    slots: number,
    firstSlot: number,
    memory: PerfMemory,
  ): Pick<LaneJob, "pointers" | "flags" | "registrar"> {
    const { ioSize, descriptors, registration } = this.#plan;
    const { commandBytes, namespace } = target;
    const { controller } = namespace;
    const stride = slotStride(ioSize, registration);
    const count = buffersOf(this.#plan, slots);
    const layout = { offset: 0, slots: count, stride, ioBytes: ioSize, commandBytes };
    const written = readPercentOf(this.#plan) < 100 ? slots : 0;
    const buffers = { count, stride, ioSize, written };
    const fill = this.#filler(firstSlot);
    if (registration === "each") {
      const { addressSpace } = this.#session;
      const context = { addressSpace, controller, descriptors, closes: this.#memory };
      return openRegistered(context, memory.place(buffers, controller, fill), layout);
    }
    const vector = memory.open(buffers, controller, fill);
    // One kind for all commands of a lane: it is a part of the opcode.
    const kind = controller.dataPointers.choose(descriptors).settle(vector, 0, commandBytes);
    const pointers = buildPointers(kind, vector, layout, (size) => {
      const lists = this.#session.addressSpace.allocate(size);
      this.#memory.push(() => {
        lists.close();
      });
      return lists;
    });
    return { pointers, flags: kind.flags, registrar: null };
  }
}
