import { setTimeout as delay } from "node:timers/promises";
import type { NativeDevice } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { AdminQueue, type AdminCommand } from "./admin.js";
import { AsyncQueue } from "./async-queue.js";
import { disableCmb, enableCmb, revealCmb, type Cmb, type ControllerMemory } from "./cmb.js";
import {
  decodeController,
  decodeNamespace,
  decodeNamespaceList,
  type ControllerIdentity,
} from "./identify.js";
import { IoQueue } from "./io-queue.js";
import { NvmeNamespace } from "./namespace.js";
import { disablePmr, enablePmr, revealPmr } from "./pmr.js";
import { openQueuePair, type QueuePairHandle } from "./queue-pair.js";
import { QueueSet } from "./queue-set.js";
import { Capabilities, Registers } from "./registers.js";
import {
  AdminOpcode,
  CC,
  Cns,
  CQE_SHIFT,
  CSTS,
  Feature,
  IDENTIFY_BYTES,
  PAGE,
  Register,
  SQE_SHIFT,
} from "./spec.js";

export interface NvmeControllerOptions {
  /** Its namespaces may be written without being named one by one: the loopback machine's. */
  allowWrite?: boolean;
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
/** §7.6.2 leaves open how long a shutdown takes; Linux waits 5 s by default as well. */
const SHUTDOWN_TIMEOUT = 5_000;

/** An NVMe controller that this process drives (NVMe 1.4). */
export class NvmeController {
  readonly address: Bdf;
  readonly #function: PciFunction;
  readonly #space: AddressSpace;
  readonly #device: NativeDevice;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  readonly #allowWrite: boolean;
  readonly #queues: QueueSet;
  #admin!: AdminQueue;
  #adminQueue: AsyncQueue | null = null;
  #identity!: ControllerIdentity;
  #namespaces: readonly NvmeNamespace[] = [];
  #ioQueue: Promise<IoQueue> | null = null;
  #cmb: Cmb | null | undefined;
  #pmr: ControllerMemory | null | undefined;
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
    if (!fn.isNvme)
      throw new P2pError("NOT_NVME", `${fn.address} is no NVMe controller`, { device: fn.address });
    const device = addressSpace.openDevice(fn.address);
    let controller;
    try {
      controller = new NvmeController(addressSpace, fn, device, options);
    } catch (error) {
      device.close();
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
    { allowWrite = false }: NvmeControllerOptions,
  ) {
    this.address = fn.address;
    this.#function = fn;
    this.#space = space;
    this.#device = device;
    this.#allowWrite = allowWrite;
    const bar0 = device.region(0);
    this.#registers = new Registers(bar0, fn.address);
    this.#capabilities = Capabilities.read(this.#registers);
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
  get namespaces(): readonly NvmeNamespace[] {
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
    const csts = this.#registers.read(Register.CSTS);
    if ((csts & CSTS.CFS) !== 0) throw this.#fatal();
    // It was ready when the admin queue was made: a reset that was not ours has taken the queues.
    if (this.#adminQueue && (csts & CSTS.RDY) === 0)
      throw this.#error(
        "CONTROLLER_RESET",
        "it was reset, and its queues are gone",
        "open it again",
      );
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
    if (this.#cmb === undefined) this.#cmb = revealCmb(this.#registers, this.#capabilities);
    return this.#cmb;
  }

  /** Lets the CMB be used at `base`: the IOVA at which its range is mapped. Errors: CMB_REFUSED. */
  enableCmb(base: number): void {
    const cmb = this.cmb();
    if (!cmb) throw this.#error("NO_PROVIDER", "it has no controller memory buffer");
    const busAddress = (this.#function.bars[cmb.bar]?.address ?? 0) + cmb.offset;
    enableCmb(this.#registers, this.#capabilities, base, busAddress);
  }

  /** Where the persistent memory region is; null if there is none. Errors: PMR_NOT_READY. */
  async pmr(): Promise<ControllerMemory | null> {
    if (this.#pmr === undefined)
      this.#pmr = this.#capabilities.hasPmr
        ? await revealPmr(this.#registers, (bar) => this.#device.region(bar).size)
        : null;
    return this.#pmr;
  }

  /** Lets the PMR be used at `base`. Errors: PMR_REFUSED. */
  enablePmr(base: number): void {
    enablePmr(this.#registers, base);
  }

  /** The PCI function underneath, for mapping its BARs. */
  get device(): NativeDevice {
    return this.#device;
  }

  /**
   * Stops it and lets go, in the order that keeps memory safe: no more submissions, queues deleted,
   * shutdown, disabled, bus mastering off, and only then memory unmapped, detached, freed.
   * What was not complete is rejected with CLOSED. A device that is gone is let go all the same.
   * Idempotent.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    await this.#disable();
    this.#device.setBusMaster(true);
    const { handle, iova } = this.#queues.allocate(0, ADMIN_DEPTH);
    const registers = this.#registers;
    // No interrupts by pin; by MSI-X there are none until a vector is set (§3.1.3).
    registers.write(Register.INTMS, 0xffff_ffff);
    registers.write(Register.AQA, ((handle.depth - 1) << 16) | (handle.depth - 1));
    registers.writeAddress(Register.ASQ, iova + handle.sqOffset);
    registers.writeAddress(Register.ACQ, iova + handle.cqOffset);
    // CC.MPS = 0 is pages of 4 KiB, CC.CSS = 0 the NVM command set, CC.AMS = 0 round robin.
    const sizes = (SQE_SHIFT << CC.IOSQES_SHIFT) | (CQE_SHIFT << CC.IOCQES_SHIFT);
    registers.write(Register.CC, sizes | CC.EN);
    await this.#waitReady(true);

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
    this.#namespaces = await Promise.all(
      ids.map(async (nsid) => {
        const identity = decodeNamespace(await this.#identify(Cns.NAMESPACE, nsid));
        return new NvmeNamespace(this, nsid, identity, this.#allowWrite);
      }),
    );
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
    const handle = await this.createQueuePair({ depth: IO_DEPTH });
    const bytes = IoQueue.listMemoryBytes(handle.depth, this.maxTransfer);
    const lists = this.#space.allocate(Math.max(bytes, PAGE));
    return new IoQueue(this.#openAsync(handle), this.address, this.maxTransfer, lists);
  }

  #openAsync(handle: QueuePairHandle): AsyncQueue {
    return new AsyncQueue(openQueuePair(handle), COMMAND_TIMEOUT, () => this.assertAlive());
  }

  async #close(): Promise<void> {
    const closed = this.#error("CLOSED", "it was closed");
    const ioQueue = await this.#ioQueue?.catch(() => null);
    // A controller that is gone, or does not obey, is cut off from memory all the same.
    for (const step of [
      () => this.#deleteQueues(),
      () => this.#shutDown(),
      () => this.#disable().catch(() => this.#resetDevice()),
    ])
      await step().catch(() => undefined);
    // Only now: whoever is told may free the memory that a command used.
    ioQueue?.fail(closed);
    this.#adminQueue?.fail(closed);
    const failures: unknown[] = [];
    for (const release of [
      () => this.#device.setBusMaster(false),
      () => ioQueue?.close(),
      () => this.#adminQueue?.queue.close(),
      () => this.#queues.close(),
      () => this.#device.close(),
    ])
      try {
        release();
      } catch (error) {
        failures.push(error);
      }
    if (failures.length > 0) throw failures[0] as Error;
  }

  #resetDevice(): void {
    if (this.#device.resettable) this.#device.reset();
  }

  /** And the memory that it lends: nobody else may still think that it answers. */
  async #deleteQueues(): Promise<void> {
    this.assertAlive();
    if (this.#adminQueue)
      for (const qid of this.#queues.ioQueues) await this.#queues.delete(qid, this.#admin);
    if (this.#cmb) disableCmb(this.#registers, this.#capabilities);
    if (this.#pmr) disablePmr(this.#registers);
  }

  /** §7.6.2 */
  async #shutDown(): Promise<void> {
    const cc = this.#registers.read(Register.CC);
    if ((cc & CC.EN) === 0) return;
    this.#registers.write(Register.CC, (cc & ~CC.SHN_MASK) | CC.SHN_NORMAL);
    const deadline = performance.now() + SHUTDOWN_TIMEOUT;
    while (
      (this.#registers.read(Register.CSTS) & CSTS.SHST_MASK) !== CSTS.SHST_COMPLETE &&
      performance.now() < deadline
    )
      await delay(1);
  }

  /** Controller reset, §7.3.2: whatever a driver before us left there. */
  async #disable(): Promise<void> {
    const cc = this.#registers.read(Register.CC);
    if ((cc & CC.EN) !== 0) this.#registers.write(Register.CC, cc & ~CC.EN & ~CC.SHN_MASK);
    await this.#waitReady(false);
  }

  async #waitReady(ready: boolean): Promise<void> {
    const wanted = ready ? CSTS.RDY : 0;
    const deadline = performance.now() + this.#capabilities.readyTimeout;
    for (;;) {
      const csts = this.#registers.read(Register.CSTS);
      if (ready && (csts & CSTS.CFS) !== 0) throw this.#fatal();
      if ((csts & CSTS.RDY) === wanted) return;
      if (performance.now() >= deadline)
        throw this.#error(
          "NOT_READY",
          `it did not become ${ready ? "ready" : "disabled"} in ${this.#capabilities.readyTimeout} ms`,
        );
      await delay(1);
    }
  }

  #assertOpen(): void {
    if (this.#closing) throw this.#error("CLOSED", "it was closed");
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

  #fatal(): P2pError {
    return this.#error(
      "CONTROLLER_FATAL",
      "it reports a fatal error (CSTS.CFS)",
      "reset the device",
    );
  }

  #error(code: string, why: string, hint?: string): P2pError {
    return new P2pError(code, `NVMe controller ${this.address}: ${why}`, {
      device: this.address,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}
