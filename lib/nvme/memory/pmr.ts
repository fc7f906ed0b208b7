/** The persistent memory region (NVMe 1.4 §4.8, §3.1.23 to §3.1.28): a whole BAR of the controller. */
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../../errors.js";
import type { ControllerMemory } from "./cmb.js";
import type { Registers } from "../registers.js";
import { PMRCAP, PMRCTL, PMRMSC, PMRSTS, Register } from "../spec.js";

export interface PmrCapabilities {
  readonly bar: number;
  /** RDS; see ControllerMemory. */
  readonly takesReadData: boolean;
  /** WDS */
  readonly givesWriteData: boolean;
  /** It answers to an address that the host chooses (CMSS). */
  readonly hasMemorySpace: boolean;
  /** Milliseconds that it may take to become ready. */
  readonly readyTimeout: number;
}

export function decodePmrcap(pmrcap: number): PmrCapabilities {
  const minutes = ((pmrcap >>> 8) & 0x3) === 1;
  return {
    bar: (pmrcap >>> 5) & 0x7,
    takesReadData: (pmrcap & PMRCAP.RDS) !== 0,
    givesWriteData: (pmrcap & PMRCAP.WDS) !== 0,
    hasMemorySpace: (pmrcap & PMRCAP.CMSS) !== 0,
    readyTimeout: (((pmrcap >>> 16) & 0xff) + 1) * (minutes ? 60_000 : 500),
  };
}

/**
 * Switches it on and waits until it is ready. `barSize` gives the bytes of a BAR, all of which it is.
 * Errors: PMR_NOT_READY, DEVICE_GONE.
 */
export async function revealPmr(
  registers: Registers,
  barSize: (bar: number) => number,
): Promise<ControllerMemory> {
  const capabilities = decodePmrcap(registers.read(Register.PMRCAP));
  registers.write(Register.PMRCTL, PMRCTL.EN);
  const deadline = performance.now() + capabilities.readyTimeout;
  let status = registers.read(Register.PMRSTS);
  while ((status & PMRSTS.NRDY) !== 0 && performance.now() < deadline) {
    await delay(1);
    status = registers.read(Register.PMRSTS);
  }
  if ((status & (PMRSTS.NRDY | PMRSTS.ERR_MASK)) !== 0)
    throw new P2pError(
      "PMR_NOT_READY",
      `the persistent memory region of ${registers.device} is not ready (PMRSTS 0x${status.toString(16)})`,
      { device: registers.device },
    );
  const { bar, takesReadData, givesWriteData } = capabilities;
  return { bar, offset: 0, size: barSize(bar), takesReadData, givesWriteData };
}

/**
 * Tells the controller the address by which it and its peers name the region; see enableCmb().
 * Errors: PMR_REFUSED, DEVICE_GONE.
 */
export function enablePmr(registers: Registers, base: number): void {
  // Without CMSS commands to this same controller cannot name the region; its peers still can.
  if (!decodePmrcap(registers.read(Register.PMRCAP)).hasMemorySpace) return;
  registers.writeAddress(Register.PMRMSC, base, PMRMSC.CMSE);
  if ((registers.read(Register.PMRSTS) & PMRSTS.CBAI) !== 0)
    throw new P2pError(
      "PMR_REFUSED",
      `${registers.device} does not accept 0x${base.toString(16)} for its persistent memory region`,
      { device: registers.device },
    );
}

/** It answers to no address any more, but stays on. Errors: DEVICE_GONE. */
export function withdrawPmr(registers: Registers): void {
  registers.writeAddress(Register.PMRMSC, 0);
  registers.read(Register.PMRMSC); // the write has arrived
}

export function disablePmr(registers: Registers): void {
  registers.writeAddress(Register.PMRMSC, 0);
  registers.write(Register.PMRCTL, 0);
}
