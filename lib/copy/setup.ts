import { EngineJobs } from "../io/engine-jobs.js";
import type { JobQueue } from "../io/failure.js";
import { mapShapes } from "../io/mapped-side.js";
import type { PartJob } from "../io/part-job.js";
import { openRegistered } from "../io/registration.js";
import { commandBytes } from "../io/room.js";
import type { SideJob } from "../io/side.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { P2pError } from "../errors.js";
import { openCmbMemory, type CmbMemory } from "../cmb-memory.js";
import type { NvmeController } from "../nvme/controller.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { QueuePairOptions } from "../nvme/queues/queue-set.js";
import { IoOpcode } from "../nvme/spec.js";
import type { Provider } from "../p2pmem/provider.js";
import { ControlBlock } from "../reactor/control-block.js";
import { Histogram } from "../reactor/histogram.js";
import type { RunnerUrl } from "../reactor/reactor.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { handoffOf, openBuffers, type SideMemory, type SlotBuffers } from "./buffers.js";
import type { CheckedPlan } from "./check.js";
import type { SideInCmb } from "./cmb.js";
import type { CopyJob, CopyOutcome } from "./job.js";
import { splitRange, type Part } from "./parts.js";
import type { CopyPlan } from "./plan.js";

const RUNNER: RunnerUrl<PartJob, CopyOutcome> = new URL("./run-job.js", import.meta.url);

/** One half of a plan. */
interface Half {
  opcode: number;
  namespace: NvmeNamespace;
  /** Bytes from the start of the namespace. */
  offset: number;
  /** Bytes that one command moves, at most. */
  commandBytes: number;
  /** What of it lies in its controller's CMB. */
  inCmb: SideInCmb;
}

/** How one side's commands name their memory. */
type SidePointers = Pick<SideJob, "whole" | "last" | "registrar"> & { flags: number };

/** One job of a run, ready for a reactor. */
export interface OpenJob {
  runner: RunnerUrl<PartJob, CopyOutcome>;
  job: PartJob;
  part: Part;
  control: ControlBlock;
  latency: Histogram;
  /** In the order of the job's queues. */
  queues: readonly JobQueue[];
}

/** The queues and the memory of one run, and the jobs that describe them to reactors. */
export class CopySetup {
  readonly jobs: EngineJobs;
  readonly #session: Session;
  readonly #plan: CopyPlan;
  readonly #ranges: CheckedPlan;
  readonly #controls: ControlBlock[] = [];
  readonly #queues: (() => Promise<void>)[] = [];
  readonly #memory: (() => void)[] = [];
  /** The sides that have lists in their CMB. */
  readonly #withLists = new Set<SideInCmb>();
  #revocation: P2pError | null = null;

  constructor(session: Session, plan: CopyPlan, ranges: CheckedPlan) {
    this.#session = session;
    this.#plan = plan;
    this.#ranges = ranges;
    this.jobs = new EngineJobs(plan, ranges.slots.jobs, plan.runtime ?? null);
  }

  /**
   * The memory of the run. If its provider is revoked meanwhile nothing more is submitted: what it
   * holds may not be what was read.
   * Errors: NO_ROOM, NO_MEMORY, MEMLOCK, those of ScatterList.map().
   */
  openBuffers(): SlotBuffers {
    const buffers = openBuffers(this.#session, this.#plan, this.#ranges.slots, this.#revoke);
    this.#memory.push(buffers.close);
    return buffers;
  }

  /** `buffers`: what openBuffers() gave. Errors: NO_MEMORY, MEMLOCK, and those of creating queues. */
  async openJobs(buffers: SlotBuffers): Promise<OpenJob[]> {
    const { slots, inCmb } = this.#ranges;
    const read = this.#half(IoOpcode.READ, "source");
    const write = this.#half(IoOpcode.WRITE, "destination");
    const jobs: OpenJob[] = [];
    for (const [index, part] of this.parts.entries()) {
      const first = index * slots.count;
      const [from, to] = [
        await this.#openSide(read, buffers.source, part, first),
        await this.#openSide(write, buffers.destination, part, first),
      ];
      const { control, latency, job } = this.openPart(index, part, 2);
      const handoff = handoffOf(buffers.handoff, first, slots.count);
      const queues = [queueOf(read, from), queueOf(write, to)];
      const copyJob: CopyJob = { ...job, read: from, write: to, handoff };
      jobs.push({ runner: RUNNER, job: copyJob, part, control, latency, queues });
    }
    // Lists that this thread has stored there arrive before the doorbells that others ring.
    for (const side of [inCmb.source, inCmb.destination])
      if (side?.lists === true) side.provider.barrier();
    return jobs;
  }

  get parts(): Part[] {
    return splitRange(this.#ranges.length, this.#plan.bs, this.#ranges.slots.jobs);
  }

  /** What the job of a part shares with its owner: the one of that number, with so many queues. */
  openPart(
    index: number,
    { blocks, lastBlockBytes }: Part,
    queues: number,
  ): { control: ControlBlock; latency: Histogram; job: PartJob } {
    const control = ControlBlock.create(queues);
    if (this.#revocation) control.halt();
    this.#controls.push(control);
    const latency = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
    const { bs, loops = 1 } = this.#plan;
    const job = {
      ...this.jobs.open(index, control),
      slots: this.#ranges.slots.count,
      blockBytes: bs,
      lastBlockBytes,
      rangeBlocks: blocks,
      loops,
      latency: latency.buffer as SharedArrayBuffer,
    };
    return { control, latency, job };
  }

  /** Whether a side of the run has lists in its CMB: openJobs() has found that its commands need some. */
  hasLists(side: SideInCmb): boolean {
    return this.#withLists.has(side);
  }

  /** Throws why memory of the run went while it was held: its reactors have then not done all. */
  assertHeld(): void {
    if (this.#revocation) throw this.#revocation;
  }

  /**
   * When no reactor runs any more. A queue that is deleted takes what was in flight on it along; if
   * one cannot be, a device may still reach the memory, and that goes when the session has reset the
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

  /**
   * A queue pair with room for so many commands in flight. Errors: those of createQueuePair() and
   * openCmbMemory().
   */
  async openQueue(
    controller: NvmeController,
    commands: number,
    inCmb: SideInCmb,
  ): Promise<QueuePairHandle> {
    const depth = commands + 1;
    const options: QueuePairOptions = { depth };
    if (inCmb?.queue === true) {
      const bytes = controller.submissionQueueBytes(depth);
      const { memory, iova } = this.#openInCmb(controller, inCmb.provider, bytes);
      options.submissionMemory = { memoryId: memory.id, offset: 0, iova };
    }
    const handle = await controller.createQueuePair(options);
    this.#queues.push(() => controller.deleteQueuePair(handle.qid));
    return handle;
  }

  /** Pinned memory for lists; see close(). Errors: NO_MEMORY, MEMLOCK. */
  openLists(size: number): DmaBuffer {
    const lists = this.#session.addressSpace.allocate(size);
    this.#memory.push(() => {
      lists.close();
    });
    return lists;
  }

  #openInCmb(controller: NvmeController, provider: Provider, size: number): CmbMemory {
    const memory = openCmbMemory(controller, provider, size, this.#revoke);
    this.#memory.push(() => {
      memory.close();
    });
    return memory;
  }

  readonly #revoke = (error: P2pError): void => {
    this.#revocation ??= error;
    for (const control of this.#controls) control.halt();
  };

  #half(opcode: number, side: "source" | "destination"): Half {
    const { offset } = this.#plan[side];
    const namespace = this.#ranges[side];
    const inCmb = this.#ranges.inCmb[side];
    const most = commandBytes(namespace, this.#plan.bs);
    return { opcode, namespace, offset, commandBytes: most, inCmb };
  }

  /** `first`: the first of the part's slots. */
  async #openSide(half: Half, memory: SideMemory, part: Part, first: number): Promise<SideJob> {
    const { bs } = this.#plan;
    const { controller, blockSize, nsid } = half.namespace;
    const { flags, whole, last, registrar } =
      memory.vector === null
        ? this.#openRegistered(half, memory, part, first)
        : this.#openMapped(half, memory.vector, part, first);
    return {
      queue: await this.openQueue(
        controller,
        this.#ranges.slots.count * Math.ceil(bs / half.commandBytes),
        half.inCmb,
      ),
      timeoutNs: controller.timeout * 1e6,
      opcode: half.opcode | flags,
      nsid,
      lba: (half.offset + part.first * bs) / blockSize,
      commandBlocks: half.commandBytes / blockSize,
      whole,
      last,
      registrar,
    };
  }

  /** With lists in pinned memory or in the CMB. */
  #openMapped(half: Half, vector: DmaVector, part: Part, first: number): SidePointers {
    const { count: slots, stride } = this.#ranges.slots;
    const { bs, descriptors } = this.#plan;
    const { namespace, commandBytes, inCmb } = half;
    const shapes = mapShapes(
      namespace,
      vector,
      { offset: first * stride, slots, stride, ioBytes: bs, commandBytes },
      { lastBytes: part.lastBlockBytes, descriptors },
      (size) => {
        if (inCmb?.lists !== true) return this.openLists(size);
        this.#withLists.add(inCmb);
        return this.#openInCmb(namespace.controller, inCmb.provider, size);
      },
    );
    return { ...shapes, registrar: null };
  }

  #openRegistered(
    { namespace: { controller, blockSize }, commandBytes }: Half,
    memory: SideMemory,
    { lastBlockBytes }: Part,
    first: number,
  ): SidePointers {
    const { bs: ioBytes, descriptors } = this.#plan;
    const { count: slots, stride } = this.#ranges.slots;
    const { addressSpace } = this.#session;
    const { flags, pointers, registrar } = openRegistered(
      { addressSpace, controller, descriptors, closes: this.#memory },
      {
        memory: memory.memory,
        offset: memory.offset + first * stride,
        iova: memory.iova === null ? null : memory.iova + first * stride,
      },
      { offset: 0, slots, stride, ioBytes, commandBytes },
    );
    const lastWords = slots * Math.ceil(lastBlockBytes / commandBytes) * 4;
    return {
      flags,
      whole: { blocks: ioBytes / blockSize, pointers },
      last: { blocks: lastBlockBytes / blockSize, pointers: new Int32Array(lastWords) },
      registrar,
    };
  }
}

function queueOf({ namespace }: Half, { queue }: SideJob): JobQueue {
  const { controller, nsid } = namespace;
  return { controller, qid: queue.qid, nsid };
}
