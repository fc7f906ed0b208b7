/** Starting, stopping and shutting down a controller by its registers (NVMe 1.4 §7.3, §7.6). */
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { Capabilities, Registers } from "./registers.js";
import { CC, CQE_SHIFT, CSTS, Register, SQE_SHIFT } from "./spec.js";

/** §7.6.2 leaves open how long a shutdown takes, milliseconds; Linux waits 5 s by default as well. */
const SHUTDOWN_TIMEOUT = 5_000;

/** An error of the controller at `device`. */
export function controllerError(device: Bdf, code: string, why: string, hint?: string): P2pError {
  return new P2pError(code, `NVMe controller ${device}: ${why}`, {
    device,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Where the admin queues are: DMA addresses, and entries in each. */
export interface AdminQueueAddresses {
  depth: number;
  submission: number;
  completion: number;
}

export class Lifecycle {
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;

  constructor(registers: Registers, capabilities: Capabilities) {
    this.#registers = registers;
    this.#capabilities = capabilities;
  }

  /** §7.6.1, for a disabled controller. Errors: NOT_READY, CONTROLLER_FATAL, DEVICE_GONE. */
  async enable({ depth, submission, completion }: AdminQueueAddresses): Promise<void> {
    const registers = this.#registers;
    // No interrupts by pin; by MSI-X there are none until a vector is set (§3.1.3).
    registers.write(Register.INTMS, 0xffff_ffff);
    registers.write(Register.AQA, ((depth - 1) << 16) | (depth - 1));
    registers.writeAddress(Register.ASQ, submission);
    registers.writeAddress(Register.ACQ, completion);
    // CC.MPS = 0 is pages of 4 KiB, CC.CSS = 0 the NVM command set, CC.AMS = 0 round robin.
    const sizes = (SQE_SHIFT << CC.IOSQES_SHIFT) | (CQE_SHIFT << CC.IOCQES_SHIFT);
    registers.write(Register.CC, sizes | CC.EN);
    await this.#waitReady(true);
  }

  /** Controller reset, §7.3.2. Errors: NOT_READY, DEVICE_GONE. */
  async disable(): Promise<void> {
    const cc = this.#registers.read(Register.CC);
    if ((cc & CC.EN) !== 0) {
      // To clear EN while an enable is still under way has undefined results (§3.1.5).
      const csts = this.#registers.read(Register.CSTS);
      if ((csts & (CSTS.RDY | CSTS.CFS)) === 0) await this.#waitReady(true);
      this.#registers.write(Register.CC, cc & ~CC.EN & ~CC.SHN_MASK);
    }
    await this.#waitReady(false);
  }

  /** Shutdown notification, §7.6.2: the controller makes safe what it has cached. */
  async shutDown(): Promise<void> {
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

  /**
   * Throws where an enabled controller will complete nothing any more.
   * Errors: DEVICE_GONE, CONTROLLER_FATAL, CONTROLLER_RESET.
   */
  assertRunning(): void {
    const csts = this.#registers.read(Register.CSTS);
    if ((csts & CSTS.CFS) !== 0) throw this.#fatal();
    if ((csts & CSTS.RDY) === 0)
      throw this.#error(
        "CONTROLLER_RESET",
        "it was reset, and its queues are gone",
        "open it again",
      );
  }

  async #waitReady(ready: boolean): Promise<void> {
    const wanted = ready ? CSTS.RDY : 0;
    const { readyTimeout } = this.#capabilities;
    const deadline = performance.now() + readyTimeout;
    for (;;) {
      const csts = this.#registers.read(Register.CSTS);
      if (ready && (csts & CSTS.CFS) !== 0) throw this.#fatal();
      if ((csts & CSTS.RDY) === wanted) return;
      if (performance.now() >= deadline)
        throw this.#error(
          "NOT_READY",
          `it did not become ${ready ? "ready" : "disabled"} in ${readyTimeout} ms`,
          "reset the device",
        );
      await delay(1);
    }
  }

  #fatal(): P2pError {
    return this.#error(
      "CONTROLLER_FATAL",
      "it reports a fatal error (CSTS.CFS)",
      "reset the device",
    );
  }

  #error(code: string, why: string, hint: string): P2pError {
    return controllerError(this.#registers.device, code, why, hint);
  }
}
