import type { NativeDevice } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { onDeviceError } from "../pci/device-event.js";
import type { PciFunction } from "../pci/function.js";
import type { DmaClient, DmaLimits } from "../sgl/dma-client.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import type { AdminCommands } from "./admin/admin-commands.js";
import type { ControllerIdentity } from "./admin/identify.js";
import { nvmLimits, type NvmLimits } from "./admin/nvm-limits.js";
import { DataPointers, type Descriptors } from "./descriptors/data-pointer.js";
import { AsyncEvents, type NvmeEventHandler } from "./events.js";
import { deviceChanged, Hardware } from "./hardware.js";
import { controllerError } from "./lifecycle.js";
import { OwnMemory } from "./memory/own-memory.js";
import { NvmeNamespace } from "./namespace.js";
import type { AsyncQueue } from "./queues/async-queue.js";
import { IoQueue } from "./queues/io-queue.js";
import type { QueuePairHandle } from "./queues/queue-pair.js";
import type { QueuePairOptions } from "./queues/queue-set.js";
import { Recovery, type RecoveryOutcome } from "./recovery.js";
import { PAGE } from "./spec.js";

export interface NvmeControllerOptions {
  /** Its namespaces may be written without being named one by one: the loopback machine's. */
  allowWrite?: boolean;
  /** How its I/O commands say where their data is. Default: `auto`. */
  descriptors?: Descriptors;
  /** How long a command may take, milliseconds. Default: 30 s. */
  timeout?: number;
  /**
   * Awaited commands are told of their completion by MSI-X interrupts, and no core is kept busy while
   * they run; each takes longer. Default: false, they are polled for.
   */
  interrupts?: boolean;
  /**
   * Told when all that is in flight ends, and what the controller lends is not to be relied on any
   * more: DEVICE_GONE, DEVICE_ERROR, CONTROLLER_FATAL; CONTROLLER_RESET, after which it may go on.
   */
  onInterrupted?: (error: P2pError) => void;
}

/** Depth of the queue behind NvmeNamespace.read() and its like. */
const IO_DEPTH = 64;
/** Where the controller sets no limit to a transfer, the driver's lists do. Bytes. */
const MAX_TRANSFER = 4 << 20;
/** How long a command may take, milliseconds: as Linux has it (nvme_core.io_timeout). */
export const COMMAND_TIMEOUT = 30_000;

/** An NVMe controller that this process drives (NVMe 1.4). `Address`: see ForDevice. */
export class NvmeController<Address extends string = string> implements DmaClient<Address> {
  declare readonly __device?: { is(address: Address): void };
  readonly address: Bdf;
  /** None: what its descriptors cannot say DataPointers.check() knows, by the part it transfers. */
  readonly dmaLimits: DmaLimits = {};
  /** Its CMB and its PMR. */
  readonly memory: OwnMemory;
  /** How long a command may take, milliseconds. */
  readonly timeout: number;
  readonly #space: AddressSpace;
  readonly #hardware: Hardware;
  readonly #recovery: Recovery;
  readonly #allowWrite: boolean;
  readonly #descriptors: Descriptors | undefined;
  #dataPointers!: DataPointers;
  readonly #interrupts: boolean;
  readonly #events: AsyncEvents;
  #namespaces: readonly NvmeNamespace<Address>[] = [];
  #nvmLimits: Promise<NvmLimits> | null = null;
  #ioQueue: Promise<IoQueue> | null = null;
  /** The same, once it is there. */
  #openIoQueue: IoQueue | null = null;
  #stopping: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  /**
   * Takes the device, resets the controller, starts it and looks at what it has.
   * Errors: NOT_NVME, UNSUPPORTED, NOT_READY, CONTROLLER_FATAL, DEVICE_GONE, TIMEOUT, NVME_STATUS,
   * and those of AddressSpace.openDevice().
   */
  static async open(
    addressSpace: AddressSpace,
    fn: PciFunction,
    options: NvmeControllerOptions = {},
  ): Promise<NvmeController> {
    if (!fn.isNvme) throw controllerError(fn.address, "NOT_NVME", "this PCI function is none");
    const device = addressSpace.openDevice(fn.address);
    let controller;
    try {
      controller = new NvmeController(addressSpace, fn, device, options);
    } catch (error) {
      addressSpace.closeDevice(fn.address);
      throw error;
    }
    try {
      await controller.#start();
    } catch (error) {
      await controller.close();
      throw error;
    }
    return controller;
  }

  private constructor(
    space: AddressSpace,
    fn: PciFunction,
    device: NativeDevice,
    options: NvmeControllerOptions,
  ) {
    const { allowWrite = false, timeout = COMMAND_TIMEOUT, onInterrupted } = options;
    this.#interrupts = options.interrupts ?? false;
    this.address = fn.address;
    this.timeout = timeout;
    this.#space = space;
    this.#allowWrite = allowWrite;
    this.#descriptors = options.descriptors;
    this.#hardware = new Hardware(space, fn, device, this.#interrupts);
    this.#events = new AsyncEvents(this.#hardware, () => this.#findNamespaces());
    const { registers, capabilities } = this.#hardware;
    this.memory = new OwnMemory(fn, device, registers, capabilities);
    this.#recovery = new Recovery(this.#hardware, {
      timeout,
      // What it lent, or a driver before us, must answer to none of the addresses that we use.
      prepare: () => {
        this.memory.hide();
      },
      startAgain: () => this.#startAgain(),
      onInterrupted: (error) => onInterrupted?.(error),
    });
  }

  get identity(): ControllerIdentity {
    return this.#hardware.identity;
  }

  /** How its I/O commands say where their data is. */
  get dataPointers(): DataPointers {
    return this.#dataPointers;
  }

  /** The active ones, by ascending id. */
  get namespaces(): readonly NvmeNamespace<Address>[] {
    return this.#namespaces;
  }

  /** Most bytes that one command may move: MDTS, or the driver's limit. */
  get maxTransfer(): number {
    return Math.min(this.identity.maxTransfer, MAX_TRANSFER);
  }

  /** Most entries of a queue, a power of two. */
  get maxQueueDepth(): number {
    return this.#hardware.queues.maxDepth;
  }

  /** I/O queue pairs that can still be created, beside that of the awaiting calls. */
  get freeQueuePairs(): number {
    return Math.max(0, this.#hardware.queues.freePairs - (this.#ioQueue ? 0 : 1));
  }

  /**
   * Creates an I/O queue pair; openQueuePair() takes the handle, on any thread.
   * Errors: NO_QUEUE, UNALIGNED, NVME_STATUS, CLOSED, and those of AddressSpace.allocate().
   */
  async createQueuePair(options: QueuePairOptions): Promise<QueuePairHandle> {
    this.#assertOpen();
    await this.#recovery.ready();
    return this.#hardware.queues.create(options, this.#hardware.admin);
  }

  /** Bytes of the submission queue that createQueuePair() makes for this depth. */
  submissionQueueBytes(depth: number): number {
    return this.#hardware.queues.submissionBytes(depth);
  }

  /**
   * Deletes the queues and frees their memory; what was in flight there is lost. Of a queue pair that
   * the controller knows no more, see assertAlive(), only the memory is there to free, and so it is
   * while the controller is closed. Errors: NVME_STATUS and others of admin commands.
   */
  async deleteQueuePair(qid: number): Promise<void> {
    const { queues } = this.#hardware;
    await this.#recovery.ready(); // which may forget the queue pair
    if (this.#stopping) await this.#stopping;
    else if (!queues.lossOf(qid))
      try {
        await queues.delete(qid, this.#hardware.admin);
      } catch (error) {
        // It may have taken a reset to get rid of it.
        await this.#recovery.ready();
        if (!queues.lossOf(qid)) throw error;
      }
    queues.free(qid);
  }

  /**
   * Creates a queue pair again that a reset or its deletion ended, see assertAlive(): with the same
   * identifier and the same, zeroed memory. Nobody may drive it meanwhile, and QueuePairs on it must
   * be opened anew, or reset(). Errors: NO_QUEUE, CLOSED, those of admin commands.
   */
  async recreateQueuePair(qid: number): Promise<void> {
    this.#assertOpen();
    await this.#recovery.ready();
    if (this.#hardware.queues.lossOf(qid))
      await this.#hardware.queues.recreate(qid, this.#hardware.admin);
  }

  /**
   * Throws where nothing completes any more that was submitted to a queue pair (without one: to any
   * queue). Of a queue pair that goes on until deleteQueuePair() or recreateQueuePair(), even if the
   * controller works again. Errors: DEVICE_GONE, DEVICE_ERROR, DEVICE_REQUESTED, CONTROLLER_FATAL,
   * CONTROLLER_RESET; ABORTED, where the queue pair was deleted.
   */
  assertAlive(qid?: number): void {
    this.#recovery.assertAlive(qid);
  }

  /**
   * Ends a command that does not complete, whatever that takes: Abort, deletion of its queue, a
   * reset. Resolves when the controller reaches the command's memory no more. `aborted`: it completes
   * by itself on its queue, as all others do. `queue-deleted` and `reset`: nothing of that queue
   * completes any more, see assertAlive(); what the controller had completed before is in its
   * completion queue. If an aborted command does not complete, call it again: Abort is not.
   *
   * `commandId`: -1 where the queue as a whole is not to be trusted. `isOver`: asked meanwhile
   * whether the command has completed after all.
   *
   * Errors: NO_QUEUE; why the controller is lost, and cut off from memory: DEVICE_GONE and others.
   */
  recover(qid: number, commandId: number, isOver?: () => boolean): Promise<RecoveryOutcome> {
    return this.#recovery.recover(qid, commandId, isOver);
  }

  /**
   * Resets the controller and starts it again, also after it was lost, once the device is back. All
   * that is in flight fails with CONTROLLER_RESET. Namespaces can be used again at once; other
   * queue pairs when their owners ask for that: recreateQueuePair(). Memory that it lent answers
   * again at its old addresses, but what that held is not to be relied on.
   * Errors: as of open(); DEVICE_CHANGED, if it is not the same controller any more; CLOSED.
   */
  async reset(): Promise<void> {
    this.#assertOpen();
    await this.#recovery.reset();
  }

  /** Takes it out of use until reset(): all that is in flight fails with `error`. Idempotent. */
  abandon(error: P2pError): void {
    this.#recovery.lose(error);
  }

  /**
   * Calls `handler` on this thread at each interrupt that may be of a queue pair, which was created
   * with `interrupts`; null: no more. Look then for all that has completed, with next(): one interrupt
   * may tell of many, and queues may share a vector. Waiting for it does not keep the process alive.
   * Errors: UNSUPPORTED.
   */
  onQueueInterrupt(qid: number, handler: (() => void) | null): void {
    this.#hardware.queues.onInterrupt(qid, handler);
  }

  /**
   * Has the controller tell of asynchronous events (NVMe 1.4 §5.2), such as critical warnings about
   * its health, errors that no command has, and changes of its namespaces, which `namespaces` shows
   * by then; null: nobody is told any more. They go on after a reset. Without interrupts an event is
   * seen within 100 ms. Errors: those of admin commands, CLOSED.
   */
  async onEvent(handler: NvmeEventHandler | null): Promise<void> {
    this.#assertOpen();
    await this.#events.listen(handler);
  }

  /** Identify and the like. */
  get admin(): AdminCommands {
    return this.#hardware.commands;
  }

  /** Where the memory of its commands is mapped. */
  get addressSpace(): AddressSpace {
    return this.#space;
  }

  /** What one command may hold beside MDTS; asked for once, of controllers that can tell (NVMe 2.0). */
  nvmLimits(): Promise<NvmLimits> {
    return (this.#nvmLimits ??= this.#askNvmLimits().catch((error: unknown) => {
      this.#nvmLimits = null;
      throw error;
    }));
  }

  /** The queue behind NvmeNamespace.read() and its like, made when first needed. */
  ioQueue(): Promise<IoQueue> {
    if (this.#stopping) return Promise.reject(this.#closedError);
    // As it is, without a turn more: what a transfer uses is pinned once its queue is there.
    return (this.#ioQueue ??= this.#makeIoQueue().catch((error: unknown) => {
      this.#ioQueue = null; // the next caller may find a queue free
      throw error;
    }));
  }

  /** The PCI function underneath, for mapping its BARs. */
  get device(): NativeDevice {
    return this.#hardware.device;
  }

  /**
   * Ends all DMA of the controller: queues deleted, its memory withdrawn, shutdown, disabled, bus
   * mastering off. What was not complete is rejected with CLOSED. Memory that it used may be
   * unmapped after this. Every step is tried, since a controller that does not obey, or is gone, is
   * cut off all the same. Idempotent.
   */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Stops it, and only then unmaps, detaches and frees its memory and lets go. Idempotent. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    await this.#recovery.open(async () => {
      await this.#hardware.configure();
      this.#dataPointers = new DataPointers(this.address, this.identity.sgl, this.#descriptors);
      await this.#findNamespaces();
    });
    onDeviceError(this.device, (error) => {
      this.abandon(error);
    });
  }

  /** After a reset. Whoever goes on must find the blocks that it knows. */
  async #startAgain(): Promise<void> {
    await this.#hardware.configure();
    for (const namespace of this.#namespaces) {
      const { nsid, blocks, blockSize, metadataSize } = namespace;
      const now = await this.admin.identifyNamespace(nsid);
      if (now.blocks < blocks || now.blockSize !== blockSize || now.metadataSize !== metadataSize)
        throw deviceChanged(this.address, `its namespace ${nsid} is smaller or of another format`);
    }
    await this.memory.restore();
    await this.#events.startAgain();
  }

  /** Those that are as they were stay the same objects. */
  async #findNamespaces(): Promise<void> {
    const namespaces: NvmeNamespace<Address>[] = [];
    for (const nsid of await this.admin.activeNamespaces()) {
      const now = await this.admin.identifyNamespace(nsid);
      const known = this.#namespaces.find(
        (one) =>
          one.nsid === nsid &&
          one.blocks === now.blocks &&
          one.blockSize === now.blockSize &&
          one.metadataSize === now.metadataSize,
      );
      namespaces.push(known ?? new NvmeNamespace(this, nsid, now, this.#allowWrite));
    }
    this.#namespaces = namespaces;
  }

  async #askNvmLimits(): Promise<NvmLimits> {
    const { minPageSize, hasIoCommandSets } = this.#hardware.capabilities;
    return nvmLimits(hasIoCommandSets ? await this.admin.nvmLimits() : null, minPageSize);
  }

  async #makeIoQueue(): Promise<IoQueue> {
    const pointers = this.#dataPointers;
    const bytes = IO_DEPTH * pointers.listBytes(this.maxTransfer);
    const lists = this.#space.allocate(Math.max(bytes, PAGE));
    try {
      const queue = await this.#makeAsyncQueue();
      const { address, maxTransfer } = this;
      return (this.#openIoQueue = new IoQueue(queue, address, maxTransfer, pointers, lists));
    } catch (error) {
      lists.close();
      throw error;
    }
  }

  async #makeAsyncQueue(): Promise<AsyncQueue> {
    const interrupts = this.#interrupts;
    const handle = await this.createQueuePair({ depth: IO_DEPTH, interrupts });
    try {
      // Nobody would close what is opened for a controller that was lost meanwhile.
      this.assertAlive(handle.qid);
      const queue = this.#hardware.queues.openAsync(handle, this.timeout, this.#recovery);
      this.#recovery.adopt(handle.qid, queue);
      return queue;
    } catch (error) {
      // Not waited for: stop() waits for this, and the deletion for stop().
      this.deleteQueuePair(handle.qid).catch(() => undefined);
      throw error;
    }
  }

  async #stop(): Promise<void> {
    const closed = this.#error("CLOSED", "it was closed");
    await this.#recovery.close(closed);
    await tryAllInTurn([
      () => {
        this.memory.close();
      },
      () => this.#hardware.shutDown(),
      () => this.#hardware.disable(),
    ]).catch(() => {
      // It is gone or does not obey: bus mastering goes off below.
    });
    this.#recovery.end(closed);
    await this.#ioQueue?.catch(() => null);
  }

  async #close(): Promise<void> {
    await this.stop();
    tryAll([
      () => this.#openIoQueue?.close(),
      () => {
        this.#hardware.close();
      },
      () => {
        this.#space.closeDevice(this.address);
      },
    ]);
  }

  #assertOpen(): void {
    if (this.#stopping) throw this.#closedError;
  }

  get #closedError(): P2pError {
    // Why it was lost before says more.
    return this.#recovery.lost ?? this.#error("CLOSED", "it was closed");
  }

  #error(code: string, why: string): P2pError {
    return controllerError(this.address, code, why);
  }
}
