import type { NativeDevice } from "../../addon.js";
import type { AddressSpace } from "../../dma/address-space.js";
import type { DmaBuffer } from "../../dma/dma-buffer.js";
import { P2pError } from "../../errors.js";
import type { Bdf } from "../../pci/bdf.js";
import type { Capabilities } from "../registers.js";
import {
  AdminOpcode,
  CQE_BYTES,
  MAX_IO_QUEUES,
  PAGE,
  QUEUE_IEN,
  QUEUE_IV_SHIFT,
  QUEUE_PC,
  SQE_BYTES,
} from "../spec.js";
import type { AdminQueue } from "./admin-queue.js";
import { AsyncQueue, type QueueOwner } from "./async-queue.js";
import { Doorbells } from "./doorbells.js";
import { Interrupts } from "./interrupts.js";
import { openQueuePair, type QueuePairHandle } from "./queue-pair.js";
import { ShadowDoorbells } from "./shadow-doorbells.js";

/** Where a submission queue lies that is not in host memory; the caller owns it. */
export interface SubmissionMemory {
  /** The mapped memory, and the queue's byte offset in it. */
  readonly memoryId: number;
  readonly offset: number;
  /** Where the controller finds it, page aligned. */
  readonly iova: number;
}

export interface QueuePairOptions {
  /** Entries; comes out as a power of two, at most what the controller has. */
  depth: number;
  /** Default: host memory. As many bytes as QueueSet.submissionBytes() says. */
  submissionMemory?: SubmissionMemory;
  /** Completions raise interrupts, see NvmeController.onQueueInterrupt(). Default: false. */
  interrupts?: boolean;
}

/** A queue pair, and its memory as the controller sees it. */
export interface QueuePairMemory {
  readonly handle: QueuePairHandle;
  /** DMA addresses of both queues. */
  readonly submission: number;
  readonly completion: number;
}

/** What queue pairs need of AdminCommands. */
export type AdminExecutor = Pick<AdminQueue, "execute">;

/** What became of a queue pair that the controller knows no more. */
export interface QueueLoss {
  readonly by: "queue-deleted" | "reset";
  readonly error: P2pError;
}

/** The queue pairs of one controller: identifiers, memory, doorbells. Queue 0 is the admin queue. */
export class QueueSet {
  readonly #space: AddressSpace;
  readonly #device: Bdf;
  readonly #capabilities: Capabilities;
  readonly #doorbells: Doorbells;
  readonly #interrupts: Interrupts;
  #shadow: ShadowDoorbells | null = null;
  /** Queue memory by qid. */
  readonly #memory = new Map<number, DmaBuffer>();
  readonly #pairs = new Map<number, QueuePairMemory>();
  /** Those that the controller has forgotten and whose owners have not let go. */
  readonly #losses = new Map<number, QueueLoss>();
  /**
   * Those of which the controller may still know one queue, until the next reset: neither identifier
   * nor memory may go to anyone else. Whether their owners have let go.
   */
  readonly #held = new Map<number, boolean>();
  #granted = 0;

  /** Errors: UNSUPPORTED, if the doorbells cannot be mapped. */
  constructor(space: AddressSpace, device: Bdf, capabilities: Capabilities, native: NativeDevice) {
    this.#space = space;
    this.#device = device;
    this.#capabilities = capabilities;
    this.#doorbells = new Doorbells(native.region(0), capabilities, device);
    this.#interrupts = new Interrupts(native, device);
  }

  /** Most entries of a queue, a power of two. */
  get maxDepth(): number {
    return 2 ** Math.floor(Math.log2(this.#capabilities.maxQueueEntries));
  }

  /** Identifiers of the I/O queue pairs that exist. */
  get ioQueues(): number[] {
    return [...this.#memory.keys()].filter((qid) => qid !== 0);
  }

  /** I/O queue pairs that can still be created. */
  get freePairs(): number {
    return Math.max(0, this.#limit - this.ioQueues.length);
  }

  /** I/O queue pairs to ask the controller for: as many as its BAR has doorbells for. */
  get wanted(): number {
    return Math.min(this.#doorbells.pairs - 1, MAX_IO_QUEUES);
  }

  /**
   * The controller allows `count` I/O queue pairs. Before the first of them is created, and again
   * after each reset, when no more than at first are taken: the doorbells stay where they are.
   */
  grant(count: number): void {
    this.#granted = Math.min(count, this.#granted || this.wanted);
    this.#doorbells.extend(1 + this.#granted);
    this.#release();
  }

  /**
   * Has I/O queues use shadow doorbells, for a controller that offers them: when it is enabled, and
   * again after each reset. The admin queue stays with its registers, as with Linux and SPDK: not
   * every controller looks at its shadow. Errors: those of admin commands; a controller that then
   * does not take them at first is used without.
   */
  async useShadowDoorbells(admin: AdminQueue): Promise<void> {
    if (ShadowDoorbells.maxQueuePairs(this.#capabilities) < 2) return;
    const shadow = this.#shadow ?? new ShadowDoorbells(this.#space, this.#capabilities);
    const isFirst = this.#shadow === null;
    this.#shadow = shadow;
    try {
      await shadow.configure(admin);
    } catch (error) {
      if (!isFirst || (error as P2pError).code !== "NVME_STATUS") throw error;
      this.#shadow = null;
      shadow.close();
    }
  }

  /** Bytes of a submission queue that is asked for with this depth. */
  submissionBytes(depth: number): number {
    return this.#depthFor(depth) * SQE_BYTES;
  }

  /** Memory for a queue pair, of which the controller knows nothing yet. */
  allocate(qid: number, options: QueuePairOptions): QueuePairMemory {
    try {
      const pair = this.#allocate(qid, options);
      this.#pairs.set(qid, pair);
      return pair;
    } catch (error) {
      this.free(qid);
      throw error;
    }
  }

  /** Errors: NO_QUEUE, UNALIGNED, NVME_STATUS and others of admin commands and of allocating. */
  async create(options: QueuePairOptions, admin: AdminExecutor): Promise<QueuePairHandle> {
    const { submissionMemory } = options;
    if (submissionMemory && submissionMemory.iova % PAGE !== 0)
      throw new P2pError("UNALIGNED", "a submission queue starts on a page boundary", {
        device: this.#device,
      });
    const qid = this.#takeId();
    const pair = this.allocate(qid, options);
    try {
      await this.#announce(pair, admin);
    } catch (error) {
      this.free(qid);
      throw error;
    }
    return pair.handle;
  }

  /**
   * Creates a queue pair again that the controller has forgotten, with the same identifier and the
   * same memory. Nobody may drive it until it has called QueuePair.reset(), or opened it anew.
   * Errors: NO_QUEUE and those of admin commands.
   */
  async recreate(qid: number, admin: AdminExecutor): Promise<void> {
    await this.#announce(this.renew(qid), admin);
    this.#losses.delete(qid);
  }

  /** Zeroes its memory, as the phase of a new completion queue wants it. Errors: NO_QUEUE. */
  renew(qid: number): QueuePairMemory {
    const pair = this.#pairs.get(qid);
    const memory = this.#memory.get(qid);
    if (!pair || !memory)
      throw new P2pError("NO_QUEUE", `${this.#device} has no queue pair ${qid}`, {
        device: this.#device,
      });
    new Int32Array(memory.buffer).fill(0);
    if (pair.handle.shadow) this.#shadow?.prepare(qid);
    return pair;
  }

  /** Both queues go, their memory stays. §7.4.1: the SQ first, as a CQ that an SQ uses cannot go. */
  async delete(qid: number, admin: AdminExecutor): Promise<void> {
    await admin.execute({ opcode: AdminOpcode.DELETE_IO_SQ, cdw10: qid });
    await admin.execute({ opcode: AdminOpcode.DELETE_IO_CQ, cdw10: qid });
  }

  /** The controller has forgotten this queue pair; memory and identifier are its owner's to free. */
  lose(qid: number, loss: QueueLoss): void {
    if (this.#memory.has(qid) && !this.#losses.has(qid)) this.#losses.set(qid, loss);
  }

  /** Whether there is such a queue pair; 0 is the admin queue. */
  has(qid: number): boolean {
    return this.#pairs.has(qid);
  }

  /** Null while the controller knows it. */
  lossOf(qid: number): QueueLoss | null {
    return this.#losses.get(qid) ?? null;
  }

  /** For code that awaits; by interrupts, if the queue pair raises them. */
  openAsync(handle: QueuePairHandle, timeout: number, owner: QueueOwner): AsyncQueue {
    const hasInterrupts = handle.vector !== null;
    const queue = new AsyncQueue(openQueuePair(handle), timeout, owner, hasInterrupts);
    try {
      if (hasInterrupts)
        this.#interrupts.listen(handle.qid, () => {
          queue.interrupted();
        });
    } catch (error) {
      queue.queue.close();
      throw error;
    }
    return queue;
  }

  /** See NvmeController.onQueueInterrupt(). Errors: UNSUPPORTED. */
  onInterrupt(qid: number, handler: (() => void) | null): void {
    const vector = this.#pairs.get(qid)?.handle.vector ?? null;
    if (vector === null && handler)
      throw new P2pError("UNSUPPORTED", `queue pair ${qid} raises no interrupts`, {
        device: this.#device,
        hint: "create it with { interrupts: true }",
      });
    this.#interrupts.listen(qid, handler);
  }

  /** The controller must know it no more. Idempotent. */
  free(qid: number): void {
    if (this.#held.has(qid)) {
      this.#held.set(qid, true);
      return;
    }
    this.#interrupts.disable(qid);
    this.#memory.get(qid)?.close();
    this.#memory.delete(qid);
    this.#pairs.delete(qid);
    this.#losses.delete(qid);
  }

  /** Frees all. The controller must be disabled, and may not master the bus any more. */
  close(): void {
    this.#held.clear();
    for (const qid of [...this.#memory.keys()]) this.free(qid);
    this.#shadow?.close();
    this.#doorbells.close();
  }

  /** NVMe 1.4 §5.3, §5.4: the CQ first, as the SQ names it. */
  async #announce(
    { handle, submission, completion }: QueuePairMemory,
    admin: AdminExecutor,
  ): Promise<void> {
    const { qid, depth, vector } = handle;
    const cdw10 = ((depth - 1) << 16) | qid;
    const interrupt = vector === null ? 0 : (vector << QUEUE_IV_SHIFT) | QUEUE_IEN;
    await admin.execute({
      opcode: AdminOpcode.CREATE_IO_CQ,
      prp1: completion,
      cdw10,
      cdw11: interrupt | QUEUE_PC,
    });
    try {
      await admin.execute({
        opcode: AdminOpcode.CREATE_IO_SQ,
        prp1: submission,
        cdw10,
        cdw11: (qid << 16) | QUEUE_PC,
      });
    } catch (error) {
      await admin.execute({ opcode: AdminOpcode.DELETE_IO_CQ, cdw10: qid }).catch(() => {
        this.#held.set(qid, false);
        this.lose(qid, { by: "queue-deleted", error: error as P2pError });
      });
      throw error;
    }
  }

  /** After a reset the controller holds none. */
  #release(): void {
    const held = [...this.#held];
    this.#held.clear();
    for (const [qid, isLetGo] of held) if (isLetGo) this.free(qid);
  }

  #allocate(qid: number, options: QueuePairOptions): QueuePairMemory {
    const { submissionMemory, interrupts = false } = options;
    const depth = this.#depthFor(options.depth);
    const cqOffset = submissionMemory ? 0 : Math.ceil((depth * SQE_BYTES) / PAGE) * PAGE;
    const buffer = this.#space.allocate(cqOffset + depth * CQE_BYTES);
    this.#memory.set(qid, buffer);
    const { memoryId, offset, iova } = submissionMemory ?? {
      memoryId: buffer.memory.id,
      offset: 0,
      iova: buffer.iova,
    };
    const handle = {
      device: this.#device,
      qid,
      depth,
      sqMemoryId: memoryId,
      sqOffset: offset,
      cqMemoryId: buffer.memory.id,
      cqOffset,
      doorbellMemoryId: this.#doorbells.memory.id,
      sqDoorbellOffset: this.#capabilities.sqDoorbell(qid),
      cqDoorbellOffset: this.#capabilities.cqDoorbell(qid),
      shadow: (qid !== 0 && this.#shadow?.prepare(qid)) || null,
      vector: interrupts ? this.#interrupts.enable(qid) : null,
    };
    return { handle, submission: iova, completion: buffer.iova + cqOffset };
  }

  #depthFor(wanted: number): number {
    return Math.min(2 ** Math.max(1, Math.ceil(Math.log2(wanted))), this.maxDepth);
  }

  /** Most I/O queue pairs. */
  get #limit(): number {
    return this.#shadow
      ? Math.min(this.#granted, ShadowDoorbells.maxQueuePairs(this.#capabilities) - 1)
      : this.#granted;
  }

  #takeId(): number {
    const limit = this.#limit;
    for (let qid = 1; qid <= limit; qid++) if (!this.#memory.has(qid)) return qid;
    throw new P2pError("NO_QUEUE", `${this.#device} has all ${limit} I/O queue pairs in use`, {
      device: this.#device,
    });
  }
}
