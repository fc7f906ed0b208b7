import type { NativeDevice } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { DmaClient, DmaLimits } from "../sgl/dma-client.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { AdminQueue } from "./queues/admin-queue.js";
import { AsyncQueue } from "./queues/async-queue.js";
import { AdminCommands } from "./admin/admin-commands.js";
import type { ControllerIdentity } from "./admin/identify.js";
import { IoQueue } from "./queues/io-queue.js";
import { controllerError, Lifecycle } from "./lifecycle.js";
import { NvmeNamespace } from "./namespace.js";
import { OwnMemory } from "./memory/own-memory.js";
import { openQueuePair, type QueuePairHandle } from "./queues/queue-pair.js";
import { QueueSet, type QueuePairOptions } from "./queues/queue-set.js";
import { Capabilities, Registers } from "./registers.js";
import { PAGE } from "./spec.js";

export interface NvmeControllerOptions {
  /** Its namespaces may be written without being named one by one: the loopback machine's. */
  allowWrite?: boolean;
  /** Told once, when nothing will complete any more: DEVICE_GONE, CONTROLLER_RESET, CONTROLLER_FATAL. */
  onLost?: (error: P2pError) => void;
}

const ADMIN_DEPTH = 32;
/** Depth of the queue behind NvmeNamespace.read() and its like. */
const IO_DEPTH = 64;
/** Where the controller sets no limit to a transfer, the driver's lists do. Bytes. */
const MAX_TRANSFER = 4 << 20;
/** A command that takes longer than this is not coming back, milliseconds. */
const COMMAND_TIMEOUT = 30_000;

/** An NVMe controller that this process drives (NVMe 1.4). `Address`: see ForDevice. */
export class NvmeController<Address extends string = string> implements DmaClient<Address> {
  declare readonly __device?: { is(address: Address): void };
  readonly address: Bdf;
  /** None: PRPs name each page. Where pages may start checkPrp() knows, by the part it transfers. */
  readonly dmaLimits: DmaLimits = {};
  /** Its CMB and its PMR. */
  readonly memory: OwnMemory;
  readonly #space: AddressSpace;
  readonly #device: NativeDevice;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  readonly #lifecycle: Lifecycle;
  readonly #allowWrite: boolean;
  /** Null once told. */
  #onLost: ((error: P2pError) => void) | null;
  readonly #queues: QueueSet;
  #admin!: AdminCommands;
  #adminQueue: AsyncQueue | null = null;
  #identity!: ControllerIdentity;
  #namespaces: readonly NvmeNamespace<Address>[] = [];
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
    { allowWrite = false, onLost }: NvmeControllerOptions,
  ) {
    this.address = fn.address;
    this.#space = space;
    this.#device = device;
    this.#allowWrite = allowWrite;
    this.#onLost = onLost ?? null;
    const bar0 = device.region(0);
    this.#registers = new Registers(bar0, fn.address);
    this.#capabilities = Capabilities.read(this.#registers);
    this.#lifecycle = new Lifecycle(this.#registers, this.#capabilities);
    this.memory = new OwnMemory(fn, device, this.#registers, this.#capabilities);
    this.#assertSupported();
    this.#queues = new QueueSet(space, fn.address, this.#capabilities, bar0);
  }

  get identity(): ControllerIdentity {
    return this.#identity;
  }

  /** The active ones, by ascending id. */
  get namespaces(): readonly NvmeNamespace<Address>[] {
    return this.#namespaces;
  }

  /** Most bytes that one command may move: MDTS, or the driver's limit. */
  get maxTransfer(): number {
    return Math.min(this.#identity.maxTransfer, MAX_TRANSFER);
  }

  /** Most entries of a queue, a power of two. */
  get maxQueueDepth(): number {
    return this.#queues.maxDepth;
  }

  /**
   * Creates an I/O queue pair; openQueuePair() takes the handle, on any thread.
   * Errors: NO_QUEUE, UNALIGNED, NVME_STATUS, CLOSED, and those of AddressSpace.allocate().
   */
  createQueuePair(options: QueuePairOptions): Promise<QueuePairHandle> {
    this.#assertOpen();
    return this.#queues.create(options, this.#admin);
  }

  /** Bytes of the submission queue that createQueuePair() makes for this depth. */
  submissionQueueBytes(depth: number): number {
    return this.#queues.submissionBytes(depth);
  }

  /** Deletes the queues; what was in flight is lost. Errors: NVME_STATUS, CLOSED. */
  async deleteQueuePair(qid: number): Promise<void> {
    this.#assertOpen();
    await this.#queues.delete(qid, this.#admin);
  }

  /**
   * Throws where nothing that was submitted will complete any more.
   * Errors: DEVICE_GONE, CONTROLLER_FATAL, CONTROLLER_RESET.
   */
  assertAlive(): void {
    try {
      this.#lifecycle.assertRunning();
    } catch (error) {
      this.#onLost?.(error as P2pError);
      this.#onLost = null;
      throw error;
    }
  }

  /** Identify and the like. */
  get admin(): AdminCommands {
    return this.#admin;
  }

  /** The queue behind NvmeNamespace.read() and its like, made when first needed. */
  ioQueue(): Promise<IoQueue> {
    this.#assertOpen();
    return (this.#ioQueue ??= this.#makeIoQueue().catch((error: unknown) => {
      this.#ioQueue = null; // the next caller may find a queue free
      throw error;
    }));
  }

  /** The PCI function underneath, for mapping its BARs. */
  get device(): NativeDevice {
    return this.#device;
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
    await this.#disable();
    // What a driver before us lent must answer to none of the addresses that we use.
    this.memory.hide();
    this.#device.setBusMaster(true);
    const { handle, submission, completion } = this.#queues.allocate(0, { depth: ADMIN_DEPTH });
    await this.#lifecycle.enable({ depth: handle.depth, submission, completion });
    this.#adminQueue = this.#openAsync(handle);
    this.#admin = new AdminCommands(new AdminQueue(this.#adminQueue, this.address), this.#space);
    this.#identity = await this.#admin.identifyController(this.#capabilities.minPageSize);
    this.#queues.grant(await this.#admin.setNumberOfQueues(this.#queues.wanted));
    if (this.#identity.hasShadowDoorbells) await this.#queues.useShadowDoorbells(this.#admin);
    const namespaces = [];
    for (const nsid of await this.#admin.activeNamespaces()) {
      const identity = await this.#admin.identifyNamespace(nsid);
      namespaces.push(new NvmeNamespace(this, nsid, identity, this.#allowWrite));
    }
    this.#namespaces = namespaces;
  }

  async #makeIoQueue(): Promise<IoQueue> {
    const bytes = IoQueue.listMemoryBytes(IO_DEPTH, this.maxTransfer);
    const lists = this.#space.allocate(Math.max(bytes, PAGE));
    try {
      const handle = await this.createQueuePair({ depth: IO_DEPTH });
      const queue = this.#openAsync(handle);
      return (this.#openIoQueue = new IoQueue(queue, this.address, this.maxTransfer, lists));
    } catch (error) {
      lists.close();
      throw error;
    }
  }

  #openAsync(handle: QueuePairHandle): AsyncQueue {
    return new AsyncQueue(openQueuePair(handle), COMMAND_TIMEOUT, {
      check: () => {
        this.assertAlive();
      },
      giveUp: (error) => {
        this.#giveUp(error);
      },
    });
  }

  /**
   * A queue is lost. Whoever is told may free the memory that its commands used, so before that the
   * controller is cut off from memory, and with it every queue it has.
   */
  #giveUp(error: Error): void {
    try {
      this.#device.setBusMaster(false);
    } catch {
      // It is gone, and reaches nothing.
    }
    this.#openIoQueue?.fail(error);
    this.#adminQueue?.fail(error);
  }

  async #stop(): Promise<void> {
    await this.#ioQueue?.catch(() => null);
    for (const qid of this.#queues.ioQueues)
      await this.#queues.delete(qid, this.#admin).catch(() => null);
    await tryAllInTurn([
      () => {
        this.memory.close();
      },
      () => this.#lifecycle.shutDown(),
      () => this.#disable(),
    ]).catch(() => {
      // It is gone or does not obey: bus mastering goes off below.
    });
    this.#giveUp(this.#error("CLOSED", "it was closed"));
  }

  async #close(): Promise<void> {
    await this.stop();
    tryAll([
      () => this.#openIoQueue?.close(),
      () => this.#adminQueue?.queue.close(),
      () => {
        this.#queues.close();
      },
      () => {
        this.#space.closeDevice(this.address);
      },
    ]);
  }

  /** Errors: NOT_READY, where not even a reset of the device helps. */
  async #disable(): Promise<void> {
    try {
      await this.#lifecycle.disable();
    } catch (error) {
      if (!this.#device.resettable) throw error;
      this.#device.reset();
      await this.#lifecycle.disable();
    }
  }

  #assertOpen(): void {
    if (this.#stopping) throw this.#error("CLOSED", "it was closed");
  }

  #assertSupported(): void {
    if (!this.#capabilities.hasNvmCommandSet)
      throw this.#error("UNSUPPORTED", "it has no NVM command set (CAP.CSS)");
    if (this.#capabilities.minPageSize > PAGE)
      throw this.#error(
        "UNSUPPORTED",
        `its smallest page has ${this.#capabilities.minPageSize} bytes, not 4096 (CAP.MPSMIN)`,
      );
  }

  #error(code: string, why: string): P2pError {
    return controllerError(this.address, code, why);
  }
}
