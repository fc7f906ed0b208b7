import { openCmbMemory } from "../cmb-memory.js";
import { slotStride } from "../copy/slots.js";
import type { P2pError } from "../errors.js";
import type { NvmeController } from "../nvme/controller.js";
import type { ListMemory } from "../nvme/descriptors/lists.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { QueuePairOptions } from "../nvme/queues/queue-set.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import { StartGate } from "../reactor/start-gate.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import type { CheckedTarget } from "./check.js";
import type { LaneJob, PerfJob, TargetJob } from "./job.js";
import { isRandom, readPercentOf, type PerfPlan } from "./plan.js";
import { Random } from "./random.js";

/** Entries that a queue has at least, so that completions can be acknowledged many at a time. */
const LEAST_DEPTH = 64;

/** One of a thread's queues, and whose it is. */
export interface PerfQueue {
  controller: NvmeController;
  qid: number;
  nsid: number;
}

/** One thread's part of a run, and what its owner reads when it is over. */
export interface ThreadSetup {
  job: PerfJob;
  control: ControlBlock;
  /** In the order of the job's queues. */
  queues: PerfQueue[];
  /** By target. */
  latency: { read: Histogram; write: Histogram }[];
}

/** The queues and the memory of one run, and the jobs that describe them to its threads. */
export class PerfSetup {
  readonly gate: StartGate;
  /** Why a CMB is there no more; null while all is well. */
  revoked: P2pError | null = null;
  readonly #session: Session;
  readonly #plan: PerfPlan;
  readonly #targets: readonly CheckedTarget[];
  readonly #queues: (() => Promise<void>)[] = [];
  readonly #memory: (() => void)[] = [];

  constructor(session: Session, plan: PerfPlan, targets: readonly CheckedTarget[]) {
    this.#session = session;
    this.#plan = plan;
    this.#targets = targets;
    this.gate = StartGate.create(Math.max(1, plan.cpus.length));
  }

  /** Errors: NO_MEMORY, MEMLOCK, and those of creating queues. */
  async openThreads(): Promise<ThreadSetup[]> {
    const { cpus } = this.#plan;
    const threads: ThreadSetup[] = [];
    for (let index = 0; index < Math.max(1, cpus.length); index++)
      threads.push(await this.#openThread(index, cpus[index] ?? null));
    return threads;
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

  async #openThread(index: number, cpu: number | null): Promise<ThreadSetup> {
    const { ioSize, warmup, runtime, seed, queuePairs } = this.#plan;
    const control = ControlBlock.create(this.#targets.length * queuePairs);
    const latency: ThreadSetup["latency"] = [];
    const targets: TargetJob[] = [];
    for (const target of this.#targets) {
      const read = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
      const write = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
      latency.push({ read, write });
      targets.push({
        ...this.#share(target, index),
        nsid: target.namespace.nsid,
        ioBlocks: ioSize / target.namespace.blockSize,
        commandBlocks: target.commandBytes / target.namespace.blockSize,
        isRandom: isRandom(this.#plan.pattern),
        readPercent: readPercentOf(this.#plan),
        lanes: await this.#openLanes(target, control),
        readLatency: read.buffer as SharedArrayBuffer,
        writeLatency: write.buffer as SharedArrayBuffer,
      });
    }
    const job = {
      targets,
      ioBytes: ioSize,
      warmupNs: warmup * 1e9,
      runtimeNs: runtime * 1e9,
      seed: new Random(seed + index).next(),
      cpu,
      control: control.buffer,
      gate: this.gate.buffer,
    };
    const queues = targets.flatMap(({ nsid, lanes }, target) => {
      const { controller } = this.#targets[target]!.namespace;
      return lanes.map(({ queue: { qid } }) => ({ controller, qid, nsid }));
    });
    return { job, control, queues, latency };
  }

  /** Random I/O of all threads goes everywhere; of sequential I/O each has a part of the range. */
  #share(target: CheckedTarget, index: number): { lba: number; ios: number } {
    const { cpus, pattern, ioSize } = this.#plan;
    const { endpoint, namespace, ios } = target;
    const threads = isRandom(pattern) ? 1 : Math.max(1, cpus.length);
    const part = isRandom(pattern) ? 0 : index;
    const first = Math.floor((ios / threads) * part);
    const end = Math.floor((ios / threads) * (part + 1));
    return { lba: (endpoint.offset + first * ioSize) / namespace.blockSize, ios: end - first };
  }

  /** The depth is shared by the queue pairs, as evenly as it goes. */
  async #openLanes(target: CheckedTarget, control: ControlBlock): Promise<LaneJob[]> {
    const { depth, queuePairs, ioSize } = this.#plan;
    const { controller } = target.namespace;
    const commands = Math.ceil(ioSize / target.commandBytes);
    const lanes: LaneJob[] = [];
    for (let i = 0; i < queuePairs; i++) {
      const slots = Math.floor((depth + queuePairs - 1 - i) / queuePairs);
      const inFlight = slots * commands;
      const { pointers, flags } = this.#openSlots(target, slots, commands);
      const wanted = Math.min(Math.max(LEAST_DEPTH, 2 * inFlight + 1), controller.maxQueueDepth);
      const queue = await this.#openQueue(controller, wanted, control);
      // All that is in flight finds a place in the completion queue beside what was not given back.
      const room = Math.min(queue.depth / 2, queue.depth - 2 * inFlight);
      lanes.push({
        queue,
        timeoutNs: controller.timeout * 1e6,
        slots,
        pointers,
        flags,
        // A controller may interrupt again only once what it told of was given back.
        acknowledgeAfter: this.#plan.interrupts === true ? 1 : Math.max(1, room),
      });
    }
    return lanes;
  }

  /** If its provider is revoked meanwhile the thread stops, and finishes what is in flight. */
  async #openQueue(
    controller: NvmeController,
    depth: number,
    control: ControlBlock,
  ): Promise<QueuePairHandle> {
    const { interrupts = false, sqInCmb = false } = this.#plan;
    const options: QueuePairOptions = { depth, interrupts };
    if (sqInCmb) {
      const provider = await this.#session.provider(`${controller.address}/cmb`);
      const bytes = controller.submissionQueueBytes(depth);
      const inCmb = openCmbMemory(controller, provider, bytes, (error) => {
        this.revoked = error;
        control.stop();
      });
      this.#memory.push(() => {
        inCmb.close();
      });
      options.submissionMemory = { memoryId: inCmb.memory.id, offset: 0, iova: inCmb.iova };
    }
    const queue = await controller.createQueuePair(options);
    this.#queues.push(() => controller.deleteQueuePair(queue.qid));
    return queue;
  }

  /** A buffer for each slot, and the data pointer of each of its commands; lists in pinned memory. */
  #openSlots(
    target: CheckedTarget,
    slots: number,
    commands: number,
  ): Pick<LaneJob, "pointers" | "flags"> {
    const { ioSize, descriptors } = this.#plan;
    const { commandBytes, namespace } = target;
    const stride = slotStride(ioSize);
    const vector = this.#openBuffer(slots * stride, target);
    // One kind for all commands of a lane: it is a part of the opcode.
    const kind = namespace.controller.dataPointers
      .choose(descriptors)
      .settle(vector, 0, commandBytes);
    const place = (i: number): { offset: number; length: number } => {
      const slot = Math.floor(i / commands);
      const at = (i - slot * commands) * commandBytes;
      return { offset: slot * stride + at, length: Math.min(commandBytes, ioSize - at) };
    };
    let listBytes = 0;
    for (let i = 0; i < slots * commands; i++) {
      const { offset, length } = place(i);
      listBytes = Math.max(listBytes, kind.listBytesFor(vector, offset, length));
    }
    const builder = kind.builder(this.#openLists(slots * commands * listBytes));
    const pointers = new Int32Array(slots * commands * 4);
    for (let i = 0; i < slots * commands; i++) {
      const { offset, length } = place(i);
      builder.build(vector, offset, length, i * listBytes, listBytes);
      const { word0, word1, word2, word3 } = builder;
      pointers.set([word0, word1, word2, word3], i * 4);
    }
    return { pointers, flags: kind.flags };
  }

  #openBuffer(size: number, { namespace: { controller } }: CheckedTarget): DmaVector {
    const { addressSpace } = this.#session;
    const buffer = addressSpace.allocate(size, { huge: true });
    this.#memory.push(() => {
      buffer.close();
    });
    // What is written should not be easier to store than other data.
    if (readPercentOf(this.#plan) < 100) fillRandomly(buffer.buffer, this.#plan.seed);
    const vector = new ScatterList(addressSpace).addHost(buffer, 0, size).map(controller);
    this.#memory.push(() => {
      vector.unmap();
    });
    return vector;
  }

  #openLists(size: number): ListMemory {
    if (size === 0) return { buffer: new ArrayBuffer(0), iova: 0 };
    const lists = this.#session.addressSpace.allocate(size);
    this.#memory.push(() => {
      lists.close();
    });
    return lists;
  }
}

function fillRandomly(buffer: ArrayBuffer, seed: number): void {
  const random = new Random(seed);
  const words = new Int32Array(buffer);
  for (let i = 0; i < words.length; i++) words[i] = random.next();
}
