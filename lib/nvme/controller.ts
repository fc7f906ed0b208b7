import type { NativeDevice } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { DmaClient, DmaLimits } from "../sgl/dma-client.js";
import { tryAll, tryAllInTurn } from "../try-all.js";
import { AdminQueue, type AdminCommand } from "./admin.js";
import { AsyncQueue } from "./async-queue.js";
import { enableCmb, hideCmb, revealCmb, withdrawCmb } from "./cmb.js";
import type { Cmb, ControllerMemory } from "./cmb.js";
import {
  decodeController,
  decodeNamespace,
  decodeNamespaceList,
  type ControllerIdentity,
} from "./identify.js";
import { IoQueue } from "./io-queue.js";
import { controllerError, Lifecycle } from "./lifecycle.js";
import { NvmeNamespace } from "./namespace.js";
import { disablePmr, enablePmr, revealPmr, withdrawPmr } from "./pmr.js";
import { openQueuePair, type QueuePairHandle } from "./queue-pair.js";
import { QueueSet } from "./queue-set.js";
import { Capabilities, Registers } from "./registers.js";
import { AdminOpcode, Cns, Feature, IDENTIFY_BYTES, PAGE, Register } from "./spec.js";

export interface NvmeControllerOptions {
  /** Its namespaces may be written without being named one by one: the loopback machine's. */
  allowWrite?: boolean;
  /** Told once, when nothing will complete any more: DEVICE_GONE, CONTROLLER_RESET, CONTROLLER_FATAL. */
  onLost?: (error: P2pError) => void;
}

const ADMIN_DEPTH = 32;
/** Depth of the queue behind NvmeNamespace.read() and its like. */
const IO_DEPTH = 64;
/** I/O queue pairs to ask for. One for the awaiting calls, the rest for reactors. */
const WANTED_QUEUES = 31;
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
  readonly #function: PciFunction;
  readonly #space: AddressSpace;
  readonly #device: NativeDevice;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  readonly #lifecycle: Lifecycle;
  readonly #allowWrite: boolean;
  /** Null once told. */
  #onLost: ((error: P2pError) => void) | null;
  readonly #queues: QueueSet;
  #admin!: AdminQueue;
  #adminQueue: AsyncQueue | null = null;
  #identity!: ControllerIdentity;
  #namespaces: readonly NvmeNamespace<Address>[] = [];
  #ioQueue: Promise<IoQueue> | null = null;
  /** The same, once it is there. */
  #openIoQueue: IoQueue | null = null;
  #cmb: Cmb | null | undefined;
  #pmr: ControllerMemory | null | undefined;
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
    this.#function = fn;
    this.#space = space;
    this.#device = device;
    this.#allowWrite = allowWrite;
    this.#onLost = onLost ?? null;
    const bar0 = device.region(0);
    this.#registers = new Registers(bar0, fn.address);
    this.#capabilities = Capabilities.read(this.#registers);
    this.#lifecycle = new Lifecycle(this.#registers, this.#capabilities);
    this.#assertSupported();
    const wanted = 2 * (1 + WANTED_QUEUES) * this.#capabilities.doorbellStride;
    const extent = bar0.mappable.find(
      ({ offset, length }) =>
        offset <= Register.SQ0TDBL && offset + length >= Register.SQ0TDBL + PAGE,
    );
    if (!extent) throw this.#error("UNSUPPORTED", "its doorbells cannot be mapped");
    const room = extent.offset + extent.length - Register.SQ0TDBL;
    const doorbells = bar0.map(Register.SQ0TDBL, Math.min(Math.ceil(wanted / PAGE) * PAGE, room));
    this.#queues = new QueueSet(space, fn.address, this.#capabilities, doorbells);
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
   * Creates an I/O queue pair; openQueuePair() takes the handle, on any thread. The depth comes out
   * as a power of two, at most what the controller has.
   * Errors: NO_QUEUE, NVME_STATUS, CLOSED, and those of AddressSpace.allocate().
   */
  createQueuePair({ depth }: { depth: number }): Promise<QueuePairHandle> {
    this.#assertOpen();
    return this.#queues.create(depth, this.#admin);
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

  /** Any admin command; dword 0 of its completion. Errors: as AdminQueue.execute(). */
  execute(command: AdminCommand): Promise<number> {
    return this.#admin.execute(command);
  }

  /** The queue behind NvmeNamespace.read() and its like, made when first needed. */
  ioQueue(): Promise<IoQueue> {
    this.#assertOpen();
    return (this.#ioQueue ??= this.#makeIoQueue().catch((error: unknown) => {
      this.#ioQueue = null; // the next caller may find a queue free
      throw error;
    }));
  }

  /** Where the controller memory buffer is; null if there is none. Shows it, if it was hidden. */
  cmb(): Cmb | null {
    if (this.#cmb === undefined)
      this.#cmb = revealCmb(this.#registers, this.#capabilities, this.#barSize);
    return this.#cmb;
  }

  /** Lets the CMB be used at `base`: the IOVA at which its range is mapped. Errors: CMB_REFUSED. */
  enableCmb(base: number): void {
    const cmb = this.cmb();
    if (!cmb) throw this.#error("NO_PROVIDER", "it has no controller memory buffer");
    const busAddress = (this.#function.bars[cmb.bar]?.address ?? 0) + cmb.offset;
    enableCmb(this.#registers, this.#capabilities, cmb, base, busAddress);
  }

  /** The CMB answers to no address any more, until enableCmb(). */
  withdrawCmb(): void {
    if (this.#capabilities.hasCmbControl) this.#withdraw(withdrawCmb);
  }

  /** Where the persistent memory region is; null if there is none. Errors: PMR_NOT_READY. */
  async pmr(): Promise<ControllerMemory | null> {
    if (this.#pmr === undefined)
      this.#pmr = this.#capabilities.hasPmr
        ? await revealPmr(this.#registers, this.#barSize)
        : null;
    return this.#pmr;
  }

  /** Lets the PMR be used at `base`. Errors: PMR_REFUSED. */
  enablePmr(base: number): void {
    enablePmr(this.#registers, base);
  }

  /** The PMR answers to no address any more, until enablePmr(). */
  withdrawPmr(): void {
    if (this.#capabilities.hasPmr) this.#withdraw(withdrawPmr);
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
    this.#withdrawMemory();
    this.#device.setBusMaster(true);
    const { handle, iova } = this.#queues.allocate(0, ADMIN_DEPTH);
    await this.#lifecycle.enable({
      depth: handle.depth,
      submission: iova + handle.sqOffset,
      completion: iova + handle.cqOffset,
    });
    this.#adminQueue = this.#openAsync(handle);
    this.#admin = new AdminQueue(this.#adminQueue, this.address);
    this.#identity = decodeController(
      await this.#identify(Cns.CONTROLLER, 0),
      this.#capabilities.minPageSize,
    );
    // §5.21.1.7: asked for and granted are 0's based, SQs in the low half, CQs in the high one.
    const granted = await this.execute({
      opcode: AdminOpcode.SET_FEATURES,
      cdw10: Feature.NUMBER_OF_QUEUES,
      cdw11: ((WANTED_QUEUES - 1) << 16) | (WANTED_QUEUES - 1),
    });
    this.#queues.grant(Math.min((granted & 0xffff) + 1, (granted >>> 16) + 1));
    const ids = decodeNamespaceList(await this.#identify(Cns.ACTIVE_NAMESPACES, 0));
    const namespaces = [];
    for (const nsid of ids) {
      const identity = decodeNamespace(await this.#identify(Cns.NAMESPACE, nsid));
      namespaces.push(new NvmeNamespace(this, nsid, identity, this.#allowWrite));
    }
    this.#namespaces = namespaces;
  }

  async #identify(cns: number, nsid: number): Promise<DataView> {
    const buffer = this.#space.allocate(IDENTIFY_BYTES);
    try {
      await this.execute({ opcode: AdminOpcode.IDENTIFY, nsid, prp1: buffer.iova, cdw10: cns });
      return new DataView(buffer.buffer.slice(0, IDENTIFY_BYTES));
    } finally {
      buffer.close();
    }
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
        this.#withdrawMemory();
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

  #withdraw(withdraw: (registers: Registers) => void): void {
    if (this.#stopping) return; // which has withdrawn all of it
    try {
      withdraw(this.#registers);
    } catch {
      // Whoever is gone answers to nothing.
    }
  }

  /** The controller's own memory answers to no address any more; §7.3.2 leaves it on in a reset. */
  #withdrawMemory(): void {
    if (this.#capabilities.hasCmbControl) hideCmb(this.#registers);
    if (this.#capabilities.hasPmr) disablePmr(this.#registers);
  }

  readonly #barSize = (bar: number): number => this.#device.region(bar).size;

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
