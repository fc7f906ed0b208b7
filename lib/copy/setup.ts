import { openCmbMemory, type CmbMemory } from "../cmb-memory.js";
import type { NvmeController } from "../nvme/controller.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { DataPointers } from "../nvme/descriptors/data-pointer.js";
import type { QueuePairHandle } from "../nvme/queues/queue-pair.js";
import type { QueuePairOptions } from "../nvme/queues/queue-set.js";
import { IoOpcode } from "../nvme/spec.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { openBuffers, type SlotBuffers } from "./buffers.js";
import type { CheckedPlan } from "./check.js";
import type { SideInCmb } from "./cmb.js";
import type { Endpoint } from "./endpoint.js";
import { Histogram } from "../reactor/histogram.js";
import { ControlBlock } from "../reactor/control-block.js";
import type { BlockShape, CopyJob, SideJob } from "./job.js";
import type { CopyPlan } from "./plan.js";
import { commandBytes } from "./slots.js";

/** One half of a plan. */
interface Half {
  opcode: number;
  namespace: NvmeNamespace;
  /** Bytes from the start of the namespace. */
  offset: number;
  /** Bytes that one command moves, at most. */
  commandBytes: number;
  inCmb: SideInCmb;
}

/** The queues and the memory of one run, and the job that describes them to a reactor. */
export class CopySetup {
  readonly control = new ControlBlock();
  readonly latency = new Histogram(new SharedArrayBuffer(Histogram.byteLength));
  readonly #session: Session;
  readonly #queues: (() => Promise<void>)[] = [];
  readonly #memory: (() => void)[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * The memory of the run, which stops if its provider is revoked meanwhile.
   * Errors: NO_ROOM, NO_MEMORY, MEMLOCK, those of ScatterList.map().
   */
  openBuffers(plan: CopyPlan, ranges: CheckedPlan): SlotBuffers {
    const buffers = openBuffers(this.#session, plan, ranges.slots, () => {
      this.control.stop();
    });
    this.#memory.push(buffers.close);
    return buffers;
  }

  /** `buffers`: what openBuffers() gave. Errors: NO_MEMORY, MEMLOCK, and those of creating queues. */
  async openJob(plan: CopyPlan, ranges: CheckedPlan, buffers: SlotBuffers): Promise<CopyJob> {
    const { inCmb } = ranges;
    const { source, destination, bs } = plan;
    const read = half(IoOpcode.READ, ranges.source, source, bs, inCmb.source);
    const write = half(IoOpcode.WRITE, ranges.destination, destination, bs, inCmb.destination);
    const { count: slots, stride } = ranges.slots;

    const rangeBlocks = Math.ceil(ranges.length / plan.bs);
    const lastBlockBytes = ranges.length - (rangeBlocks - 1) * plan.bs;
    const describe = async (half: Half, vector: DmaVector): Promise<SideJob> => {
      const { blockSize, nsid } = half.namespace;
      const { address, dataPointers } = half.namespace.controller;
      vector.assertUsableBy(address);
      // One kind for all commands of a side: it is a part of the opcode.
      const pointers = dataPointers
        .choose(plan.descriptors)
        .settle(vector, 0, Math.min(half.commandBytes, plan.bs));
      const shape = (bytes: number): BlockShape => ({
        blocks: bytes / blockSize,
        pointers: this.#buildPointers(pointers, vector, slots, stride, bytes, half),
      });
      const whole = shape(plan.bs);
      return {
        queue: await this.#openQueue(half, slots * Math.ceil(plan.bs / half.commandBytes)),
        opcode: half.opcode | pointers.flags,
        nsid,
        lba: half.offset / blockSize,
        commandBlocks: half.commandBytes / blockSize,
        whole,
        last: lastBlockBytes === plan.bs ? whole : shape(lastBlockBytes),
      };
    };
    const sides = {
      read: await describe(read, buffers.source),
      write: await describe(write, buffers.destination),
    };
    // Lists that this thread has stored there arrive before the doorbells that another one rings.
    for (const side of [inCmb.source, inCmb.destination])
      if (side?.lists === true) side.provider.barrier();
    return {
      ...sides,
      handoff: buffers.handoff,
      slots,
      blockBytes: plan.bs,
      lastBlockBytes,
      rangeBlocks,
      runtimeNs: plan.runtime === undefined ? null : plan.runtime * 1e9,
      latency: this.latency.buffer as SharedArrayBuffer,
      control: this.control.buffer,
    };
  }

  /** After a run that has drained, or none. Errors: those of deleting queues. */
  async close(): Promise<void> {
    try {
      await tryAllInTurn(this.#queues.splice(0));
    } catch (error) {
      this.abandon();
      throw error;
    }
    tryAll(this.#memory.splice(0).reverse());
  }

  /**
   * After a run that has not drained: a device may still reach the memory, so it goes when the
   * session has reset the controllers.
   */
  abandon(): void {
    for (const close of this.#memory.splice(0)) this.#session.retire(close);
  }

  async #openQueue(
    { namespace: { controller }, inCmb }: Half,
    commands: number,
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

  /** The data pointers of each command of each slot, for blocks of `bytes`; lists in pinned memory. */
  #buildPointers(
    kind: DataPointers,
    vector: DmaVector,
    slots: number,
    stride: number,
    bytes: number,
    half: Half,
  ): Int32Array {
    const { commandBytes } = half;
    const commands = Math.ceil(bytes / commandBytes);
    const place = (i: number): { offset: number; length: number } => {
      const slot = Math.floor(i / commands);
      const at = (i - slot * commands) * commandBytes;
      return { offset: slot * stride + at, length: Math.min(commandBytes, bytes - at) };
    };
    let listBytes = 0;
    for (let i = 0; i < slots * commands; i++) {
      const { offset, length } = place(i);
      listBytes = Math.max(listBytes, kind.listBytesFor(vector, offset, length));
    }
    const builder = kind.builder(this.#openLists(half, slots * commands * listBytes));
    const pointers = new Int32Array(slots * commands * 4);
    for (let i = 0; i < slots * commands; i++) {
      const { offset, length } = place(i);
      builder.build(vector, offset, length, i * listBytes, listBytes);
      const { word0, word1, word2, word3 } = builder;
      pointers.set([word0, word1, word2, word3], i * 4);
    }
    return pointers;
  }

  #openLists(
    { namespace: { controller }, inCmb }: Half,
    size: number,
  ): { buffer: ArrayBuffer; iova: number } {
    if (size === 0) return { buffer: new ArrayBuffer(0), iova: 0 };
    if (inCmb?.lists === true) return this.#openInCmb(controller, inCmb.provider, size);
    const lists = this.#session.addressSpace.allocate(size);
    this.#memory.push(() => {
      lists.close();
    });
    return lists;
  }

  #openInCmb(controller: NvmeController, provider: Provider, size: number): CmbMemory {
    const memory = openCmbMemory(controller, provider, size, () => {
      this.control.stop();
    });
    this.#memory.push(() => {
      memory.close();
    });
    return memory;
  }
}

function half(
  opcode: number,
  namespace: NvmeNamespace,
  { offset }: Endpoint,
  bs: number,
  inCmb: SideInCmb,
): Half {
  return { opcode, namespace, offset, commandBytes: commandBytes(namespace, bs), inCmb };
}
