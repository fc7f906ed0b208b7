import type { NativeDevice } from "./addon.js";
import { choosePlatform } from "./choose-platform.js";
import type { ChosenPlatform, PlatformOptions } from "./choose-platform.js";
import { Reactor } from "./reactor/reactor.js";
import { AddressSpace } from "./dma/address-space.js";
import { P2pError } from "./errors.js";
import { assertPresent, GiveBack, type GivingUp } from "./give-back.js";
import { nicRanges, nicSource } from "./nic-memory.js";
import { NvmeController } from "./nvme/controller.js";
import type { Descriptors } from "./nvme/descriptors/data-pointer.js";
import type { FindOptions } from "./p2pmem/find.js";
import { barMemory } from "./p2pmem/provider-memory.js";
import { Provider } from "./p2pmem/provider.js";
import { parseProvider } from "./p2pmem/provider-name.js";
import {
  assertNotReserved,
  type ProviderKind,
  type ProviderRange,
} from "./p2pmem/provider-range.js";
import { ProviderRegistry } from "./p2pmem/registry.js";
import { parseBdf } from "./pci/bdf.js";
import type { Bdf } from "./pci/bdf.js";
import { onDeviceError } from "./pci/device-event.js";
import type { PciFunction } from "./pci/function.js";
import type { PciTree } from "./pci/tree.js";
import type { Platform } from "./platform.js";
import {
  chooseRange,
  lendMemory,
  passBarrier,
  providerRanges,
  reservedRanges,
  withdrawMemory,
  type ProviderSource,
} from "./providers.js";
import type { RdmaDevice, RdmaDeviceInfo } from "./rdma/device.js";
import { RdmaDevices } from "./rdma/devices.js";
import { remember } from "./remember.js";
import type { KnownAddress } from "./sgl/dma-client.js";
import { tryAllInTurn } from "./try-all.js";

export interface SessionOptions extends PlatformOptions {
  /** How long an NVMe command may take, seconds; what happens then says NvmeController.recover(). Default: 30. */
  timeout?: number;
  /** How the controllers' I/O commands say where their data is. Default: `auto`. */
  descriptors?: Descriptors | undefined;
  /** See NvmeControllerOptions.interrupts. */
  interrupts?: boolean;
}

/**
 * One job: a machine, one address space for all devices of the job, and what was opened of them. A
 * device is opened when it is first asked for, and only then.
 *
 * Close it: until then it owns its devices. `await using` does so by itself.
 */
export class Session implements AsyncDisposable {
  readonly platform: Platform;
  /** Which machine this is, and why: one line. */
  readonly description: string;
  readonly pci: PciTree;

  #addressSpace: AddressSpace | undefined;
  readonly #controllers = new Map<Bdf, Promise<NvmeController>>();
  readonly #providers = new Map<string, Promise<Provider>>();
  readonly #registry = new ProviderRegistry();
  /** Devices that are not NVMe: those the session opened itself. */
  readonly #devices = new Map<Bdf, NativeDevice>();
  readonly #rdma: RdmaDevices;
  readonly #idleReactors: Reactor[] = [];
  readonly #operations = new Set<Promise<unknown>>();
  readonly #retired: (() => void)[] = [];
  readonly #giveBack = new GiveBack();
  readonly #closing = new AbortController();
  readonly #options: SessionOptions;
  #closed: Promise<void> | undefined;

  /**
   * Chooses the machine and reads its PCI tree; no device is touched.
   * Errors: UNKNOWN_DEVICE, BAD_ENDPOINT, BAD_ARGUMENT, BAD_MACHINE_FILE, ADDON_MISSING.
   */
  static async open(options: SessionOptions = {}): Promise<Session> {
    const { timeout } = options;
    if (timeout !== undefined && !(timeout > 0 && Number.isFinite(timeout)))
      throw new P2pError("BAD_ARGUMENT", "the timeout must be a number of seconds above 0");
    return new Session(await choosePlatform(options), options);
  }

  private constructor({ platform, pci, reason }: ChosenPlatform, options: SessionOptions) {
    this.#options = options;
    this.platform = platform;
    this.description = `${platform.description}, ${reason}`;
    this.pci = pci;
    this.#rdma = new RdmaDevices(platform, pci, ({ fn }, error) => {
      if (fn !== null) this.#registry.revokeDevice(fn.address, error);
    });
  }

  /** Errors: NO_VFIO, PERMISSION. */
  get addressSpace(): AddressSpace {
    this.#assertOpen();
    return (this.#addressSpace ??= new AddressSpace(this.platform, this.pci));
  }

  /**
   * The controller, enabled, its namespaces known; opened on first use. Given a literal, the compiler
   * refuses a vector that was mapped for another one.
   * Errors: UNKNOWN_DEVICE, NOT_NVME, NOT_BOUND, and the others of NvmeController.open().
   */
  async controller<const Text extends string>(
    device: Text,
  ): Promise<NvmeController<KnownAddress<Text>>> {
    this.#assertOpen();
    const fn = this.pci.get(parseBdf(device));
    if (!fn.isNvme)
      throw new P2pError("NOT_NVME", `${fn.address} is no NVMe controller`, {
        device: fn.address,
        hint: "p2pmem list shows the controllers",
      });
    const { timeout, descriptors = "auto", interrupts = false } = this.#options;
    const options = {
      allowWrite: this.platform.kind === "loopback",
      descriptors,
      interrupts,
      ...(timeout === undefined ? {} : { timeout: 1000 * timeout }),
      onInterrupted: (error: P2pError) => {
        this.#registry.revokeDevice(fn.address, error);
      },
    };
    return remember(this.#controllers, fn.address, async () => {
      const controller = await NvmeController.open(this.addressSpace, fn, options);
      try {
        this.#giveBack.watch(controller.device, (error) =>
          this.#giveUp(fn.address, error, controller),
        );
      } catch (error) {
        await controller.close();
        throw error;
      }
      return controller;
    });
  }

  /**
   * What a device can provide as peer memory. An NVMe controller is opened for that, and an RDMA device
   * that its kernel driver has. Errors: UNKNOWN_DEVICE, and those of controller() and rdmaDevice().
   */
  async providerRanges(device: Bdf | string): Promise<ProviderRange[]> {
    this.#assertOpen();
    return this.#ranges(this.pci.get(parseBdf(device)), "all");
  }

  /**
   * Memory of a device: `BDF/cmb`, `BDF/pmr` or `BDF/barN`, of which `@OFFSET+LENGTH` names a part; or
   * `BDF/dm`, all of the device memory of a NIC. Just `BDF` is the first that providerRanges() has, but for
   * a PMR and what is not for data (see dataRefusal()), which may be named for queues and lists. Opened,
   * mapped and published on first use. Errors: BAD_ENDPOINT, BAD_SIZE, UNKNOWN_DEVICE, NO_PROVIDER,
   * NOT_BOUND, BAD_RANGE, NOT_MAPPABLE, NO_ROOM (of a NIC's memory, some of which is in use) and others; IN_USE
   * where it overlaps one that is open; REVOKED while holders of one that was revoked have not let go.
   */
  async provider(text: string): Promise<Provider> {
    this.#assertOpen();
    const { device, memory, part } = parseProvider(text);
    const fn = this.pci.get(device);
    const range = chooseRange(fn, await this.#ranges(fn, memory), memory, part);
    const name = `${device}/${range.label}`;
    const provider = await remember(this.#providers, name, () => this.#open(fn, range, name));
    provider.assertUsable();
    return provider;
  }

  /**
   * Of the providers that are open and published, the closest that all clients reach and that has
   * `size` contiguous bytes free. Errors: NO_PROVIDER, with the reason for each; BAD_ARGUMENT,
   * BAD_ENDPOINT, UNKNOWN_DEVICE.
   */
  findProvider(clients: readonly string[], size: number, options?: FindOptions): Provider {
    this.#assertOpen();
    return this.#registry.find(clients.map(parseBdf), size, options);
  }

  /** The machine's RDMA devices; none is opened. Errors: NO_VERBS. */
  rdmaDevices(): RdmaDeviceInfo[] {
    this.#assertOpen();
    return this.#rdma.list();
  }

  /**
   * An RDMA device by its name; without one the first that has an active port, or if none has, the first.
   * Opened on first use, and anew once it was lost; the session closes it. Errors: NO_VERBS, NO_RDMA_DEVICE, UNKNOWN_DEVICE,
   * PERMISSION, DEVICE_GONE, IO.
   */
  rdmaDevice(name?: string): RdmaDevice {
    this.#assertOpen();
    return this.#rdma.open(name);
  }

  /**
   * Runs something that uses the session's devices: close() waits for it. `signal` aborts with an
   * INTERRUPTED error when the given one does, or when the session closes. Errors: CLOSED.
   */
  operation<T>(
    given: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    this.#assertOpen();
    const interrupt = new AbortController();
    const abort = (): void => {
      interrupt.abort(new P2pError("INTERRUPTED", "interrupted; what was in flight has finished"));
    };
    const signals = [this.#closing.signal, ...(given === undefined ? [] : [given])];
    for (const signal of signals) {
      if (signal.aborted) abort();
      signal.addEventListener("abort", abort);
    }
    const running = run(interrupt.signal).finally(() => {
      for (const signal of signals) signal.removeEventListener("abort", abort);
      this.#operations.delete(running);
    });
    this.#operations.add(running);
    return running;
  }

  /** Lends a polling thread, kept for the next who asks. */
  async withReactor<T>(use: (reactor: Reactor) => Promise<T>): Promise<T> {
    const reactor = this.#idleReactors.pop() ?? new Reactor();
    try {
      const result = await use(reactor);
      this.#idleReactors.push(reactor);
      return result;
    } catch (error) {
      await reactor.close();
      throw error;
    }
  }

  /** Takes over memory that a device may still reach, until the controllers have been reset. */
  retire(close: () => void): void {
    this.#retired.push(close);
  }

  /**
   * Lets what runs finish what is in flight, and lets everything go, in the order that keeps memory
   * safe: polling threads, RDMA devices with their regions, all DMA (each controller: queues,
   * shutdown, disabled, bus mastering off), peer mappings, memory that could not go before,
   * controllers, devices, address space. Each step is tried even if one before it failed; the first
   * failure is thrown. Idempotent.
   */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #open(fn: PciFunction, range: ProviderRange, name: string): Promise<Provider> {
    const controller = fn.isNvme ? await this.controller(fn.address) : null;
    this.#registry.assertFree(fn, range);
    const nic = range.kind === "dm" ? this.#nicOf(fn) : null;
    const source = nic ? nicSource(nic, range) : this.#barSource(fn, range, controller);
    const provider = new Provider(this.addressSpace, fn, range, source.bytes, {
      assertAlive: source.assertAlive,
      barrier: source.barrier,
      withdraw: () => {
        if (!this.#registry.hasOther(provider)) source.withdraw();
      },
      closed: () => {
        this.#registry.delete(provider);
        this.#providers.delete(name);
      },
    });
    // It keeps others off its bytes from now on, but nobody is to find it before it can be reached.
    provider.unpublish();
    this.#registry.add(provider);
    try {
      await source.lend(provider);
      provider.publish();
    } catch (error) {
      provider.release();
      throw error;
    }
    return provider;
  }

  #barSource(
    fn: PciFunction,
    range: ProviderRange,
    controller: NvmeController | null,
  ): ProviderSource {
    controller?.assertAlive();
    const device = controller?.device ?? this.#openDevice(fn.address);
    const reserved = reservedRanges(fn, device, controller, range.kind);
    assertNotReserved(fn, range, reserved);
    return {
      bytes: barMemory(device, fn, range),
      assertAlive: () => {
        if (controller) controller.assertAlive();
        else this.#assertPresent(fn.address, device);
      },
      barrier: (readOne) => {
        passBarrier(controller, range.kind, readOne);
      },
      lend: async (provider) => {
        if (controller) await lendMemory(controller, provider);
      },
      withdraw: () => {
        if (controller) withdrawMemory(controller, range.kind);
      },
    };
  }

  /** What a function can provide; `wanted` as providerRanges() of lib/providers.ts has it. */
  async #ranges(fn: PciFunction, wanted: ProviderKind | "all" | null): Promise<ProviderRange[]> {
    const nic = this.#nicOf(fn);
    const controller = fn.isNvme ? await this.controller(fn.address) : null;
    return [
      ...(nic ? nicRanges(nic, wanted) : []),
      ...(await providerRanges(fn, controller, wanted)),
    ];
  }

  /** The RDMA device of a function that its kernel driver has; null where it has none. */
  #nicOf(fn: PciFunction): RdmaDevice | null {
    return fn.isOwnedByVfio ? null : this.#rdma.openAt(fn.address);
  }

  /** For devices without a driver here that would notice. Errors: DEVICE_GONE. */
  #assertPresent(address: Bdf, device: NativeDevice): void {
    try {
      assertPresent(device);
    } catch (error) {
      this.#registry.revokeDevice(address, error as P2pError);
      throw error;
    }
  }

  #openDevice(address: Bdf): NativeDevice {
    const known = this.#devices.get(address);
    if (known !== undefined) return known;
    const device = this.addressSpace.openDevice(address);
    try {
      this.#giveBack.watch(device, (error) => this.#giveUp(address, error, null));
      onDeviceError(device, (error) => {
        this.#registry.revokeDevice(address, error);
      });
    } catch (error) {
      this.#addressSpace?.closeDevice(address);
      throw error;
    }
    this.#devices.set(address, device);
    return device;
  }

  /**
   * What runs on a device ends, what it provides is revoked, and once its holders have let go it is
   * closed. All others stay.
   */
  #giveUp(address: Bdf, error: P2pError, controller: NvmeController | null): GivingUp {
    return [
      () => {
        controller?.abandon(error);
        this.#registry.revokeDevice(address, error);
      },
      () => controller?.stop(),
      ...[...this.#registry]
        .filter(({ fn }) => fn.address === address)
        .map((provider) => () => provider.revoke(error)),
      () => {
        this.#controllers.delete(address);
        this.#devices.delete(address);
      },
      () => (controller ? controller.close() : this.#addressSpace?.closeDevice(address)),
    ];
  }

  async #close(): Promise<void> {
    this.#closing.abort();
    // Their failures are their callers' to hear of.
    await Promise.allSettled([...this.#operations]);
    const controllers = await fulfilled(this.#controllers);
    await Promise.allSettled(this.#providers.values());
    await tryAllInTurn([
      ...this.#idleReactors.map((reactor) => () => reactor.close()),
      () => {
        this.#rdma.close();
      },
      ...controllers.map((controller) => () => controller.stop()),
      ...[...this.#registry].map((provider) => () => {
        provider.release();
      }),
      ...this.#retired,
      () => this.#giveBack.finish(),
      ...controllers.map((controller) => () => controller.close()),
      ...[...this.#devices.keys()].map((address) => () => {
        this.#addressSpace?.closeDevice(address);
      }),
      () => this.#addressSpace?.close(),
      () => {
        this.platform.close();
      },
    ]);
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted)
      throw new P2pError("CLOSED", "the session is closed", { hint: "open another one" });
  }
}

async function fulfilled<V>(made: ReadonlyMap<unknown, Promise<V>>): Promise<V[]> {
  const results = await Promise.allSettled(made.values());
  return results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}
