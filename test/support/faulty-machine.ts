/** The loopback machine with more that a test can see and bring about. */
import type { NativeAddressSpace, NativeDevice, NativeRegion } from "#lib/addon.js";
import { LoopbackPlatform } from "#lib/platform/loopback.js";
import { builtinMachines, type MachineConfiguration } from "#lib/platform/machine-schema.js";

const CAP = 0x00;
const CC = 0x14;
const PMRCTL = 0xe04;
const PMRSTS = 0xe08;
/** NVMe 1.4 §3.1.1: CAP.TO, in units of 500 ms. */
const CAP_TO = 0xff00_0000;

type Handler = (() => void) | null;

export class FaultyMachine extends LoopbackPlatform {
  /** What was written to CC, by device. */
  readonly configured = new Map<string, number[]>();
  /** By device: how often its function was reset. */
  readonly resets = new Map<string, number>();
  /** By device: bits that PMRSTS shows besides, until the PMR is switched off, or for good. */
  readonly pmrStatus = new Map<string, { bits: number; isForGood: boolean }>();
  /** What the kernel answers to who wants to hear of its requests; null: it takes that. */
  refusal: Error | null = null;
  readonly #requested = new Map<string, Handler>();
  readonly #erred = new Map<string, Handler>();

  constructor(configuration: MachineConfiguration = builtinMachines.default) {
    super(configuration);
  }

  /** The kernel wants a device back. */
  request(address: string): void {
    this.#requested.get(address)?.();
  }

  /** The kernel reports an uncorrectable error of a device. */
  err(address: string): void {
    this.#erred.get(address)?.();
  }

  override openAddressSpace(): NativeAddressSpace {
    return withMethods(super.openAddressSpace(), (space) => ({
      openDevice: (address: string) => this.#watch(space.openDevice(address)),
    }));
  }

  #watch(device: NativeDevice): NativeDevice {
    const { address } = device;
    this.configured.set(address, []);
    this.resets.set(address, 0);
    return withMethods(device, (device) => ({
      region: (index: number) =>
        index === 0 ? this.#watchRegisters(address, device.region(0)) : device.region(index),
      reset: () => {
        this.resets.set(address, this.resets.get(address)! + 1);
        device.reset();
      },
      onRequest: (handler: Handler) => {
        if (this.refusal) throw this.refusal;
        this.#requested.set(address, handler);
      },
      onError: (handler: Handler) => this.#erred.set(address, handler),
    }));
  }

  #watchRegisters(address: string, bar0: NativeRegion): NativeRegion {
    return withMethods(bar0, (bar0) => ({
      // A wait of 500 ms is long enough for a test.
      read32: (offset: number) => {
        const value = bar0.read32(offset);
        if (offset === PMRSTS) return (value | (this.pmrStatus.get(address)?.bits ?? 0)) >>> 0;
        return offset === CAP && value !== 0xffff_ffff ? value & ~CAP_TO : value;
      },
      write32: (offset: number, value: number) => {
        if (offset === CC) this.configured.get(address)!.push(value);
        const isOff = offset === PMRCTL && (value & 1) === 0;
        if (isOff && this.pmrStatus.get(address)?.isForGood === false)
          this.pmrStatus.delete(address);
        bar0.write32(offset, value);
      },
    }));
  }
}

/** The same object, but for some of its methods. */
function withMethods<T extends object>(object: T, make: (object: T) => Partial<T>): T {
  const methods = make(object);
  return new Proxy(object, {
    get(target, key) {
      const value: unknown = Reflect.get(methods, key) ?? Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
