import { CONFIG_REGION, type NativeDevice } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { PCI_COMMAND, PCI_COMMAND_MEMORY } from "../pci/spec.js";
import type { ControllerIdentity } from "./admin/identify.js";
import { AdminCommands } from "./admin/admin-commands.js";
import { controllerError, Lifecycle } from "./lifecycle.js";
import { AdminQueue } from "./queues/admin-queue.js";
import type { AsyncQueue, QueueOwner } from "./queues/async-queue.js";
import { setNumberOfQueues } from "./queues/number-of-queues.js";
import { QueueSet } from "./queues/queue-set.js";
import { Capabilities, Registers } from "./registers.js";
import { PAGE } from "./spec.js";

const ADMIN_DEPTH = 32;

/** What came back after a reset is not what was there before. */
export function deviceChanged(device: Bdf, how: string): P2pError {
  const hint = "close the session, look what is there, and begin again";
  return controllerError(device, "DEVICE_CHANGED", how, hint);
}

/** A controller as the bus shows it: registers, queues, and how its admin queue is set going. */
export class Hardware {
  readonly fn: PciFunction;
  readonly device: NativeDevice;
  readonly registers: Registers;
  readonly capabilities: Capabilities;
  readonly lifecycle: Lifecycle;
  readonly queues: QueueSet;
  /** From the first configure() on. */
  identity!: ControllerIdentity;
  /** From the first enable() on. */
  admin!: AdminQueue;
  /** What of it is for everybody. */
  commands!: AdminCommands;
  adminQueue: AsyncQueue | null = null;
  readonly #space: AddressSpace;
  /** The admin queue is told of completions by MSI-X. */
  readonly #interrupts: boolean;

  /** Errors: UNSUPPORTED, DEVICE_GONE. */
  constructor(space: AddressSpace, fn: PciFunction, device: NativeDevice, interrupts: boolean) {
    this.#interrupts = interrupts;
    this.fn = fn;
    this.device = device;
    this.#space = space;
    this.registers = new Registers(device.region(0), fn.address);
    this.capabilities = Capabilities.read(this.registers);
    this.lifecycle = new Lifecycle(this.registers, this.capabilities);
    this.#assertSupported();
    this.queues = new QueueSet(space, fn.address, this.capabilities, device);
  }

  /**
   * Enables the controller, which is disabled, with an empty admin queue.
   * Errors: NOT_READY, CONTROLLER_FATAL, DEVICE_GONE; UNSUPPORTED, if it is to interrupt and cannot.
   */
  async enable(timeout: number, owner: QueueOwner): Promise<AsyncQueue> {
    this.device.setBusMaster(true);
    const isFirst = this.adminQueue === null;
    const { handle, submission, completion } = isFirst
      ? this.queues.allocate(0, { depth: ADMIN_DEPTH, interrupts: this.#interrupts })
      : this.queues.renew(0);
    const queue = (this.adminQueue ??= this.queues.openAsync(handle, timeout, owner));
    if (isFirst) {
      this.admin = new AdminQueue(queue, this.fn.address);
      this.commands = new AdminCommands(this.admin, this.#space);
    }
    await this.lifecycle.enable({
      depth: handle.depth,
      submission,
      completion,
      hasMsix: handle.vector !== null,
    });
    queue.resume();
    return queue;
  }

  /**
   * To be done after each enable(): looks who it is, and sets what a reset takes back.
   * Errors: those of admin commands; DEVICE_CHANGED.
   */
  async configure(): Promise<void> {
    const before = this.identity as ControllerIdentity | undefined;
    const identity = await this.commands.identifyController(this.capabilities.minPageSize);
    const { serialNumber, modelNumber } = identity;
    if (before && (before.serialNumber !== serialNumber || before.modelNumber !== modelNumber))
      throw deviceChanged(this.fn.address, `it is ${modelNumber} ${serialNumber} now`);
    this.identity = identity;
    this.queues.grant(await setNumberOfQueues(this.admin, this.queues.wanted));
    if (identity.hasShadowDoorbells) await this.queues.useShadowDoorbells(this.admin);
  }

  /**
   * Controller reset, §7.3.2: it reaches no memory any more. A device that was away, and is back, is
   * shown again. Errors: NOT_READY, DEVICE_GONE.
   */
  async disable(): Promise<void> {
    this.#show();
    await this.lifecycle.disable();
  }

  /** The same, by a reset of the PCI function. Errors: NOT_RESETTABLE, NOT_READY, DEVICE_GONE, IO. */
  async resetFunction(): Promise<void> {
    this.device.reset();
    this.#show();
    await this.lifecycle.waitPresent();
    await this.lifecycle.disable();
  }

  /** Shutdown notification, where it was ever started. Errors: DEVICE_GONE. */
  async shutDown(): Promise<void> {
    const identity = this.identity as ControllerIdentity | undefined;
    if (identity) await this.lifecycle.shutDown(identity.shutdownTime);
  }

  /** It masters the bus no more, or is gone and reaches nothing anyway. */
  cutOff(): void {
    try {
      this.device.setBusMaster(false);
    } catch {
      // It is gone.
    }
  }

  /** Unmaps, detaches and frees. The controller must be disabled, or cut off. */
  close(): void {
    this.adminQueue?.queue.close();
    this.queues.close();
  }

  /** Memory decode on, and the device again in what showed ones meanwhile. Errors: DEVICE_GONE. */
  #show(): void {
    const config = this.device.region(CONFIG_REGION);
    const command = config.read16(PCI_COMMAND);
    // Where nobody answers this changes nothing, and restore() says so.
    if ((command & PCI_COMMAND_MEMORY) === 0)
      config.write16(PCI_COMMAND, command | PCI_COMMAND_MEMORY);
    this.device.restore();
  }

  #assertSupported(): void {
    const { hasNvmCommandSet, minPageSize } = this.capabilities;
    const refuse = (why: string): Error => controllerError(this.fn.address, "UNSUPPORTED", why);
    if (!hasNvmCommandSet) throw refuse("it has no NVM command set (CAP.CSS)");
    if (minPageSize > PAGE)
      throw refuse(`its smallest page has ${minPageSize} bytes, not 4096 (CAP.MPSMIN)`);
  }
}
