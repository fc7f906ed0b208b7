import { P2pError } from "../errors.js";
import { parseBdf, type Bdf } from "../pci/bdf.js";
import type { PciTree } from "../pci/tree.js";
import type { Platform } from "../platform.js";
import { tryAll } from "../try-all.js";
import type { NativeRdmaDevice } from "../rdma-addon.js";
import { RdmaDevice, type RdmaDeviceInfo } from "./device.js";

type LossListener = (device: RdmaDevice, error: P2pError) => void;

/** The RDMA devices of a machine, each opened once; one that was lost can be opened again. */
export class RdmaDevices {
  readonly #platform: Platform;
  readonly #pci: PciTree;
  /** Those that are given to whoever asks, by their names. */
  readonly #opened = new Map<string, RdmaDevice>();
  /** With them those that were lost, until they are closed. */
  readonly #all = new Set<RdmaDevice>();
  readonly #onLost: LossListener;

  /** `onLost`: told once of each device that fails or is taken away. */
  constructor(platform: Platform, pci: PciTree, onLost: LossListener = () => undefined) {
    this.#platform = platform;
    this.#pci = pci;
    this.#onLost = onLost;
  }

  /** Errors: NO_VERBS. */
  list(): RdmaDeviceInfo[] {
    return this.#platform
      .rdmaDevices()
      .map(({ name, address }) => ({ name, address: address === null ? null : parseBdf(address) }));
  }

  /**
   * By its name; without one the first that has an active port, or if none has, the first; those that
   * cannot be opened are passed over. Errors: NO_VERBS, NO_RDMA_DEVICE, UNKNOWN_DEVICE; PERMISSION,
   * DEVICE_GONE, NO_MEMORY, IO of the one that was named, or of the first where none can be opened.
   */
  open(name?: string): RdmaDevice {
    if (name !== undefined) return this.#open(name);
    let first: RdmaDevice | null = null;
    let failure: P2pError | null = null;
    for (const info of this.list())
      try {
        const device = this.#open(info.name);
        if (device.isActive) return device;
        first ??= device;
      } catch (error) {
        if (!(error instanceof P2pError)) throw error;
        failure ??= error;
      }
    if (first !== null) return first;
    if (failure !== null) throw failure;
    throw new P2pError("NO_RDMA_DEVICE", "this machine has no RDMA device", {
      hint: this.#hintOfNone,
    });
  }

  /**
   * That of a PCI function; null where it has none, or there is no libibverbs to ask. Errors: PERMISSION,
   * DEVICE_GONE, NO_MEMORY, IO.
   */
  openAt(address: Bdf): RdmaDevice | null {
    const info = this.#listIfAny().find((info) => info.address === address);
    return info === undefined ? null : this.#open(info.name);
  }

  /** Idempotent; it may be called again for those that could not be closed. */
  close(): void {
    tryAll(
      [...this.#all].map((device) => () => {
        device.close();
      }),
    );
  }

  /** To whom this machine has no RDMA device at all. */
  get #hintOfNone(): string {
    return this.#platform.kind === "loopback"
      ? "the built-in machine rdma has one: --machine rdma"
      : "p2pmem doctor says what is missing; the loopback machine has one: --machine rdma";
  }

  #listIfAny(): RdmaDeviceInfo[] {
    try {
      return this.list();
    } catch (error) {
      if (error instanceof P2pError && error.code === "NO_VERBS") return [];
      throw error;
    }
  }

  #open(name: string): RdmaDevice {
    const known = this.#opened.get(name);
    if (known !== undefined) return known;
    const list = this.list();
    const address = list.find((info) => info.name === name)?.address ?? null;
    const native = this.#openNative(name, list);
    try {
      const fn = address !== null && this.#pci.has(address) ? this.#pci.get(address) : null;
      const device: RdmaDevice = new RdmaDevice(native, fn, {
        onLost: (error) => {
          if (this.#forget(device)) this.#onLost(device, error);
        },
        onClosed: () => {
          this.#forget(device);
          this.#all.delete(device);
        },
      });
      this.#opened.set(name, device);
      this.#all.add(device);
      return device;
    } catch (error) {
      native.close();
      throw error;
    }
  }

  /**
   * One that is not in the list may be there, but without a driver of libibverbs: who opens it knows.
   * Errors: as open().
   */
  #openNative(name: string, list: readonly RdmaDeviceInfo[]): NativeRdmaDevice {
    try {
      return this.#platform.openRdmaDevice(name);
    } catch (error) {
      const isUnknown = error instanceof P2pError && error.code === "UNKNOWN_DEVICE";
      if (!isUnknown || error.hint !== undefined) throw error;
      const hint = list.length === 0 ? this.#hintOfNone : `there is ${list.map(nameOf).join(", ")}`;
      throw new P2pError(error.code, error.message, { device: name, hint });
    }
  }

  /** True where it was the one that is given to whoever asks. */
  #forget(device: RdmaDevice): boolean {
    return this.#opened.get(device.name) === device && this.#opened.delete(device.name);
  }
}

function nameOf({ name }: RdmaDeviceInfo): string {
  return name;
}
