/** Starting, stopping and shutting down a controller by its registers (NVMe 1.4 §7.3, §7.6). */
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { Capabilities, Registers } from "./registers.js";
import { CC, CQE_SHIFT, CSTS, Register, SQE_SHIFT } from "./spec.js";

/**
 * Bounds for the wait for a shutdown, milliseconds: of controllers that do not say how long theirs
 * takes (RTD3E, §5.15.2.2), or say too much. Linux has the same (nvme_init_identify()).
 */
const SHUTDOWN_TIMEOUT = { least: 5_000, most: 60_000 };

/**
 * For so long registers may read all ones while a controller is being reset, milliseconds: what PCI
 * Express gives a device to come back after a reset (base specification §6.6.1).
 */
const RETURN_TIMEOUT = 1_000;

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
  /** MSI-X is on, so that the masks of interrupts by pin are not to be touched (§3.1.3). */
  hasMsix: boolean;
}

export class Lifecycle {
  readonly #registers: Registers;
  readonly #capabilities: Capabilities;

  constructor(registers: Registers, capabilities: Capabilities) {
    this.#registers = registers;
    this.#capabilities = capabilities;
  }

  /** §7.6.1, for a disabled controller. Errors: NOT_READY, CONTROLLER_FATAL, DEVICE_GONE. */
  async enable({ depth, submission, completion, hasMsix }: AdminQueueAddresses): Promise<void> {
    const registers = this.#registers;
    // No interrupts by pin; by MSI-X there are none until a vector is set (§3.1.3).
    if (!hasMsix) registers.write(Register.INTMS, 0xffff_ffff);
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
      if ((csts & (CSTS.RDY | CSTS.CFS)) === 0) await this.#waitEnabled();
      this.#registers.write(Register.CC, cc & ~CC.EN & ~CC.SHN_MASK);
    }
    await this.#waitReady(false);
  }

  /**
   * Shutdown notification, §7.6.2: the controller makes safe what it has cached. `entryTime`: how
   * long it says that takes (RTD3E), milliseconds; 0 where it does not.
   */
  async shutDown(entryTime: number): Promise<void> {
    const cc = this.#registers.read(Register.CC);
    if ((cc & CC.EN) === 0 || (this.#registers.read(Register.CSTS) & CSTS.CFS) !== 0) return;
    this.#registers.write(Register.CC, (cc & ~CC.SHN_MASK) | CC.SHN_NORMAL);
    const { least, most } = SHUTDOWN_TIMEOUT;
    const deadline = performance.now() + Math.min(Math.max(entryTime, least), most);
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
        "reset it by its driver: controller.reset(), or open it again",
      );
  }

  /** Waits until registers answer, for as long as a reset may keep them silent. Errors: DEVICE_GONE. */
  async waitPresent(): Promise<void> {
    const deadline = performance.now() + RETURN_TIMEOUT;
    while (!this.#registers.isThere && performance.now() < deadline) await delay(1);
    this.#registers.read(Register.CSTS);
  }

  /** It is under way no more, whether it came to its end or failed. Errors: NOT_READY, DEVICE_GONE. */
  async #waitEnabled(): Promise<void> {
    try {
      await this.#waitReady(true);
    } catch (error) {
      if ((error as P2pError).code !== "CONTROLLER_FATAL") throw error; // that is what a reset is for
    }
  }

  async #waitReady(ready: boolean): Promise<void> {
    const wanted = ready ? CSTS.RDY : 0;
    const { readyTimeout } = this.#capabilities;
    const deadline = performance.now() + readyTimeout;
    for (;;) {
      await this.waitPresent();
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
