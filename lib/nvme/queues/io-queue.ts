import type { DmaBuffer } from "../../dma/dma-buffer.js";
import type { Bdf } from "../../pci/bdf.js";
import type { DmaVector } from "../../sgl/dma-vector.js";
import type { AsyncQueue, Waiter } from "./async-queue.js";
import type { DataPointerBuilder, DataPointers } from "../descriptors/data-pointer.js";
import { MAX_BLOCKS } from "../spec.js";
import { statusError } from "../status.js";

/** An NVM command, or as many as its length takes. */
export interface IoRequest {
  /** For messages: `Read`. */
  name: string;
  /** For messages, in place of the blocks: `Dataset Management of 3 ranges`. */
  what?: string;
  opcode: number;
  nsid: number;
  lba: number;
  /** With `data` 1 or more; the data holds what is wanted of them, and DataPointers.check() took it. */
  blocks: number;
  blockSize: number;
  data: DmaVector | null;
  /** Bytes of the blocks that are wanted, and how many are skipped before them. Left out: all. */
  part?: { skip: number; length: number };
  /** Of CDW12, beside the number of blocks: CDW12 of spec.ts. */
  flags?: number;
  /** Most blocks of one command, where that is not for its data to say. */
  maxBlocks?: number;
}

/**
 * The I/O queue behind the awaiting calls. Splits requests into commands that the controller takes,
 * and lets those wait that find the queue full.
 */
export class IoQueue {
  readonly #queue: AsyncQueue;
  readonly #device: Bdf;
  readonly #maxTransfer: number;
  readonly #lists: DmaBuffer;
  readonly #listBytes: number;
  readonly #pointers: DataPointerBuilder;
  readonly #backlog: Transfer[] = [];

  /** `lists`: at least `pointers.listBytes(maxTransfer)` for each entry of the queue. */
  constructor(
    queue: AsyncQueue,
    device: Bdf,
    maxTransfer: number,
    pointers: DataPointers,
    lists: DmaBuffer,
  ) {
    this.#queue = queue;
    this.#device = device;
    this.#maxTransfer = maxTransfer;
    this.#lists = lists;
    this.#listBytes = pointers.listBytes(maxTransfer);
    this.#pointers = pointers.builder(lists);
    queue.onChange = () => {
      this.#pump();
    };
  }

  get qid(): number {
    return this.#queue.queue.qid;
  }

  /**
   * The memory of the data stays where it is until the request has ended, even if it is let go
   * meanwhile. Errors: NVME_STATUS of the first command that failed, and what broke the queue; those
   * of DmaVector.assertUsableBy(), before any command or between two.
   */
  run(request: IoRequest): Promise<void> {
    return new Promise((resolve, reject) => {
      request.data?.assertUsableBy(this.#device);
      this.#queue.assertUsable();
      request.data?.pin();
      this.#backlog.push(new Transfer(request, resolve, reject, () => this.#pump(), this.#device));
      this.#pump();
    });
  }

  /** Detaches and frees. The controller must have forgotten the queue before. */
  close(): void {
    this.#queue.queue.close();
    this.#lists.close();
  }

  #pump(): void {
    const { broken } = this.#queue;
    if (broken) for (const transfer of this.#backlog.splice(0)) transfer.abandon(broken);
    let submitted = false;
    while (this.#queue.hasRoom) {
      const transfer = this.#backlog[0];
      if (!transfer) break;
      // Its memory may have gone since the command before.
      if (transfer.hasMore && transfer.isUsable()) {
        this.#submit(transfer);
        submitted = true;
      }
      if (!transfer.hasMore) this.#backlog.shift();
    }
    if (submitted) this.#queue.start();
  }

  #submit(transfer: Transfer): void {
    const { opcode, nsid, lba, data, flags = 0, maxBlocks = MAX_BLOCKS } = transfer.request;
    const done = transfer.submitted;
    const slot = this.#queue.claim(transfer);
    const { queue } = this.#queue;
    let blocks = Math.min(transfer.request.blocks - done, maxBlocks, MAX_BLOCKS);
    if (data) {
      blocks = this.#describe(transfer.request, data, done, blocks, slot);
      const { word0, word1, word2, word3 } = this.#pointers;
      const command = opcode | this.#pointers.flags;
      const count = blocks + flags; // submit() has CDW12 one less
      queue.submit(command, nsid, lba + done, count, word0, word1, word2, word3, slot);
    } else {
      queue.submit(opcode, nsid, lba + done, blocks + flags, 0, 0, 0, 0, slot);
    }
    transfer.began(blocks);
  }

  /**
   * Has the data pointer of the next command built, after `done` blocks and for at most `most`; gives
   * its blocks.
   */
  #describe(request: IoRequest, data: DmaVector, done: number, most: number, slot: number): number {
    const { blockSize, part } = request;
    const { skip, length } = part ?? { skip: 0, length: request.blocks * blockSize };
    let blocks = Math.min(most, Math.floor(this.#maxTransfer / blockSize));
    const lead = Math.max(skip - done * blockSize, 0);
    const offset = Math.max(done * blockSize - skip, 0);
    const wanted = Math.min(blocks * blockSize - lead, length - offset);
    const fit = this.#pointers.fit(data, offset, wanted, this.#listBytes, part !== undefined);
    if (fit < wanted) blocks = Math.floor((lead + fit) / blockSize);
    const bytes = Math.min(blocks * blockSize - lead, wanted);
    const trail = blocks * blockSize - lead - bytes;
    const listOffset = slot * this.#listBytes;
    this.#pointers.build(data, offset, bytes, listOffset, this.#listBytes, lead, trail);
    return blocks;
  }
}

/** One request on its way: settled once, when its last command has ended. */
class Transfer implements Waiter {
  readonly request: IoRequest;
  /** Blocks for which commands have been submitted. */
  submitted = 0;
  #inFlight = 0;
  #error: Error | null = null;
  #isSettled = false;
  readonly #resolve: () => void;
  readonly #reject: (error: Error) => void;
  readonly #progress: () => void;
  readonly #device: Bdf;

  constructor(
    request: IoRequest,
    resolve: () => void,
    reject: (error: Error) => void,
    progress: () => void,
    device: Bdf,
  ) {
    this.request = request;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#progress = progress;
    this.#device = device;
  }

  /** After an error nothing more is submitted, but what is in flight is waited for. */
  get hasMore(): boolean {
    return !this.#error && this.submitted < this.request.blocks;
  }

  /** Whether its data may still be named to the device. If not it ends, with what is in flight. */
  isUsable(): boolean {
    try {
      this.request.data?.assertUsableBy(this.#device);
      return true;
    } catch (error) {
      this.#error = error as Error;
      if (this.#inFlight === 0) this.#settle();
      return false;
    }
  }

  began(blocks: number): void {
    this.submitted += blocks;
    this.#inFlight++;
  }

  completed(status: number): void {
    if (status !== 0) this.#error ??= statusError(status, this.what, this.#device);
    this.#endOne();
  }

  failed(error: Error): void {
    this.#error ??= error;
    this.#endOne();
  }

  /** No more of its commands will be submitted. */
  abandon(error: Error): void {
    this.#error ??= error;
    if (this.#inFlight === 0) this.#settle();
  }

  #endOne(): void {
    this.#inFlight--;
    this.#progress();
    if (this.#inFlight === 0 && !this.hasMore) this.#settle();
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    try {
      this.request.data?.unpin();
    } catch (error) {
      this.#error ??= error as Error;
    }
    if (this.#error) this.#reject(this.#error);
    else this.#resolve();
  }

  get what(): string {
    const { name, nsid, lba, blocks, what } = this.request;
    const described = what ?? `${name} of blocks ${lba} to ${lba + blocks - 1}`;
    return `${described} of namespace ${nsid}`;
  }
}
