import type { NativeDevice } from "../../addon.js";
import { P2pError } from "../../errors.js";
import type { PciFunction } from "../../pci/function.js";
import { controllerError } from "../lifecycle.js";
import type { Capabilities, Registers } from "../registers.js";
import { enableCmb, hideCmb, revealCmb, showCmb } from "./cmb.js";
import type { Cmb } from "./cmb.js";
import { describePmr, disablePmr, enablePmr, pmrBarrier, switchOnPmr, withdrawPmr } from "./pmr.js";
import type { Pmr } from "./pmr.js";

/** What may be wrong with a PMR, while its controller is well. */
export const PMR_ERRORS: ReadonlySet<string> = new Set([
  "PMR_FAILED",
  "PMR_NOT_READY",
  "PMR_REFUSED",
]);

/** The memory that a controller has itself: its CMB and its PMR. */
export class OwnMemory {
  readonly #function: PciFunction;
  readonly #device: NativeDevice;
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;
  /** Undefined until asked for. */
  #cmb: Cmb | null | undefined;
  #pmr: Pmr | null | undefined;
  /** Resolves when the PMR is on; null where that is to be tried, or tried again. */
  #pmrOn: Promise<void> | null = null;
  /** Where they answer; null while they do not. */
  #cmbBase: number | null = null;
  #pmrBase: number | null = null;
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
    if (!cmb) throw this.#hasNo("controller memory buffer");
    const busAddress = (this.#function.bars[cmb.bar]?.address ?? 0) + cmb.offset;
    enableCmb(this.#registers, this.#capabilities, cmb, base, busAddress);
    this.#cmbBase = base;
  }

  /** The CMB answers to no address any more, until enableCmb(). */
  withdrawCmb(): void {
    this.#cmbBase = null;
    if (this.#capabilities.hasCmbControl) this.#withdraw(showCmb);
  }

  /** Where the persistent memory region is, on or not; null if there is none. Errors: DEVICE_GONE. */
  pmrRange(): Pmr | null {
    if (this.#pmr === undefined)
      this.#pmr = this.#capabilities.hasPmr ? describePmr(this.#registers, this.#barSize) : null;
    return this.#pmr;
  }

  /**
   * The same, switched on. One that did not become ready, for which a controller may claim minutes,
   * is not waited for again until a reset. Errors: PMR_NOT_READY, PMR_FAILED, DEVICE_GONE.
   */
  async pmr(): Promise<Pmr | null> {
    const pmr = this.pmrRange();
    if (pmr) await (this.#pmrOn ??= this.#switchOn(pmr));
    return pmr;
  }

  /** Lets the PMR, which pmr() has switched on, be used at `base`. Errors: PMR_REFUSED. */
  enablePmr(base: number): void {
    if (!this.#pmr || !this.#pmrOn) throw this.#hasNo("persistent memory region that is on");
    enablePmr(this.#registers, this.#pmr.capabilities, base);
    this.#pmrBase = base;
  }

  /** The PMR answers to no address any more, until enablePmr(). */
  withdrawPmr(): void {
    this.#pmrBase = null;
    if (this.#capabilities.hasPmr) this.#withdraw(withdrawPmr);
  }

  /**
   * When this returns, what was written to the PMR before is safe there. `readOne` reads anywhere in
   * it. Errors: PMR_FAILED, if some of it is not; DEVICE_GONE.
   */
  pmrBarrier(readOne: () => void): void {
    if (!this.#pmr || !this.#pmrOn) throw this.#hasNo("persistent memory region that is on");
    pmrBarrier(this.#registers, this.#pmr.capabilities, readOne);
  }

  /**
   * All of it answers to no address any more; a controller reset leaves it on (§7.3.2). What it had
   * is remembered, for restore().
   */
  hide(): void {
    if (this.#capabilities.hasCmbControl) hideCmb(this.#registers);
    if (this.#capabilities.hasPmr) disablePmr(this.#registers);
  }

  /**
   * After hide(): what was lent is shown, switched on and answers again, at the same addresses. What
   * the CMB held is lost. A PMR that does not come back stays off; pmr() says why to the next who asks.
   * Errors: CMB_REFUSED, DEVICE_GONE.
   */
  async restore(): Promise<void> {
    if (this.#cmb && this.#capabilities.hasCmbControl) showCmb(this.#registers);
    if (this.#cmbBase !== null) this.enableCmb(this.#cmbBase);
    this.#pmrOn = null;
    const base = this.#pmrBase;
    if (base === null) return;
    try {
      await this.pmr();
      // Whoever had it may have let go meanwhile.
      if (this.#pmrBase === base) this.enablePmr(base);
    } catch (error) {
      if (!(error instanceof P2pError && PMR_ERRORS.has(error.code))) throw error;
      this.#pmrBase = null;
      if (error.code === "PMR_REFUSED") this.#pmrOn = null;
      disablePmr(this.#registers);
    }
  }

  /** Hides it for good. Errors: DEVICE_GONE. */
  close(): void {
    if (this.#isWithdrawn) return;
    this.#isWithdrawn = true;
    this.hide();
  }

  async #switchOn({ capabilities }: Pmr): Promise<void> {
    try {
      await switchOnPmr(this.#registers, capabilities);
    } catch (error) {
      // What is known without a wait is asked again.
      if (!(error instanceof P2pError && error.code === "PMR_NOT_READY")) this.#pmrOn = null;
      throw error;
    }
  }

  #withdraw(withdraw: (registers: Registers) => void): void {
    if (this.#isWithdrawn) return;
    try {
      withdraw(this.#registers);
    } catch {
      // Whoever is gone answers to nothing.
    }
  }

  #hasNo(what: string): Error {
    return controllerError(this.#function.address, "NO_PROVIDER", `it has no ${what}`);
  }

  readonly #barSize = (bar: number): number => this.#device.region(bar).size;
}
