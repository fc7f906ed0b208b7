import type { NativeDevice } from "../../addon.js";
import type { PciFunction } from "../../pci/function.js";
import { controllerError } from "../lifecycle.js";
import type { Capabilities, Registers } from "../registers.js";
import { enableCmb, hideCmb, revealCmb, withdrawCmb } from "./cmb.js";
import type { Cmb, ControllerMemory } from "./cmb.js";
import { disablePmr, enablePmr, revealPmr, withdrawPmr } from "./pmr.js";

/** The memory that a controller has itself: its CMB and its PMR. */
export class OwnMemory {
  readonly #function: PciFunction;
  readonly #device: NativeDevice;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  /** Undefined until asked for. */
  #cmb: Cmb | null | undefined;
  #pmr: ControllerMemory | null | undefined;
  #isWithdrawn = false;

  constructor(
    fn: PciFunction,
    device: NativeDevice,
    registers: Registers,
    capabilities: Capabilities,
  ) {
    this.#function = fn;
    this.#device = device;
    this.#registers = registers;
    this.#capabilities = capabilities;
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
    if (!cmb)
      throw controllerError(
        this.#function.address,
        "NO_PROVIDER",
        "it has no controller memory buffer",
      );
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

  /** All of it answers to no address any more; a controller reset leaves it on (§7.3.2). */
  hide(): void {
    if (this.#capabilities.hasCmbControl) hideCmb(this.#registers);
    if (this.#capabilities.hasPmr) disablePmr(this.#registers);
  }

  /** Hides it for good. Errors: DEVICE_GONE. */
  close(): void {
    if (this.#isWithdrawn) return;
    this.#isWithdrawn = true;
    this.hide();
  }

  #withdraw(withdraw: (registers: Registers) => void): void {
    if (this.#isWithdrawn) return;
    try {
      withdraw(this.#registers);
    } catch {
      // Whoever is gone answers to nothing.
    }
  }

  readonly #barSize = (bar: number): number => this.#device.region(bar).size;
}
