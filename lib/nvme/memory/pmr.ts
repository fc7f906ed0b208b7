/** The persistent memory region (NVMe 1.4 §4.8, §3.1.23 to §3.1.28): a whole BAR of the controller. */
import { setTimeout as delay } from "node:timers/promises";
import { P2pError } from "../../errors.js";
import type { Ability, ControllerMemory } from "./cmb.js";
import type { Registers } from "../registers.js";
import { PMR_HEALTH, PMRCAP, PMRCTL, PMRMSC, PMRSTS, Register } from "../spec.js";

export interface PmrCapabilities {
  readonly bar: number;
  readonly abilities: readonly Ability[];
  /** PMRWBM: what makes sure that earlier writes are safe; at least one of the two. */
  readonly hasReadBarrier: boolean;
  readonly hasStatusBarrier: boolean;
  /** It answers to an address that the host chooses (CMSS). */
  readonly hasMemorySpace: boolean;
  /** Milliseconds that it may take to become ready. */
  readonly readyTimeout: number;
}

export interface Pmr extends ControllerMemory {
  readonly capabilities: PmrCapabilities;
}

export function decodePmrcap(pmrcap: number): PmrCapabilities {
  const minutes = ((pmrcap >>> 8) & 0x3) === 1;
  const abilities: Ability[] = [];
  if ((pmrcap & PMRCAP.RDS) !== 0) abilities.push("RDS");
  if ((pmrcap & PMRCAP.WDS) !== 0) abilities.push("WDS");
  return {
    bar: (pmrcap >>> 5) & 0x7,
    abilities,
    hasReadBarrier: (pmrcap & PMRCAP.BARRIER_BY_READ) !== 0,
    hasStatusBarrier: (pmrcap & PMRCAP.BARRIER_BY_STATUS) !== 0,
    hasMemorySpace: (pmrcap & PMRCAP.CMSS) !== 0,
    readyTimeout: (((pmrcap >>> 16) & 0xff) + 1) * (minutes ? 60_000 : 500),
  };
}

/**
 * Where it is, whether it is on or not. `barSize` gives the bytes of a BAR, all of which it is.
 * Errors: DEVICE_GONE.
 */
export function describePmr(registers: Registers, barSize: (bar: number) => number): Pmr {
  const capabilities = decodePmrcap(registers.read(Register.PMRCAP));
  const { bar, abilities } = capabilities;
  return { bar, offset: 0, size: barSize(bar), abilities, capabilities };
}

/**
 * Switches it on and waits until it is ready.
 * Errors: PMR_NOT_READY; PMR_FAILED, where it is read-only or unreliable; DEVICE_GONE.
 */
export async function switchOnPmr(
  registers: Registers,
  { readyTimeout }: PmrCapabilities,
): Promise<void> {
  registers.write(Register.PMRCTL, PMRCTL.EN);
  const deadline = performance.now() + readyTimeout;
  let status = registers.read(Register.PMRSTS);
  while ((status & PMRSTS.NRDY) !== 0 && performance.now() < deadline) {
    await delay(1);
    status = registers.read(Register.PMRSTS);
  }
  if ((status & PMRSTS.NRDY) !== 0)
    throw new P2pError(
      "PMR_NOT_READY",
      `the persistent memory region of ${registers.device} did not become ready in ${readyTimeout} ms`,
      { device: registers.device, hint: "use another provider" },
    );
  assertHealthy(registers, status);
}

/**
 * Tells the controller the address by which it and its peers name the region; see enableCmb().
 * Errors: PMR_REFUSED, DEVICE_GONE.
 */
export function enablePmr(
  registers: Registers,
  { hasMemorySpace }: PmrCapabilities,
  base: number,
): void {
  // Without CMSS commands to this same controller cannot name the region; its peers still can.
  if (!hasMemorySpace) return;
  registers.writeAddress(Register.PMRMSC, base, PMRMSC.CMSE);
  if ((registers.read(Register.PMRSTS) & PMRSTS.CBAI) !== 0)
    throw new P2pError(
      "PMR_REFUSED",
      `${registers.device} does not accept 0x${base.toString(16)} for its persistent memory region`,
      { device: registers.device },
    );
}

/**
 * When this returns, what was written to the region before, by whomever, is safe there: by the
 * means that PMRWBM names, of which a read of PMRSTS tells of errors, too. `readOne` reads anywhere
 * in the region. Errors: PMR_FAILED, DEVICE_GONE.
 */
export function pmrBarrier(
  registers: Registers,
  { hasReadBarrier, hasStatusBarrier }: PmrCapabilities,
  readOne: () => void,
): void {
  // The status alone is read where that is the barrier: a read of the region proves nothing then.
  if (hasReadBarrier || !hasStatusBarrier) readOne();
  assertHealthy(registers, registers.read(Register.PMRSTS));
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

/**
 * PMRSTS.ERR stays until the region is switched off; HSTS 0 is well, and 1 says that what it held
 * may be lost, which whoever writes to it first need not care about.
 */
function assertHealthy({ device }: Registers, status: number): void {
  const error = status & PMRSTS.ERR_MASK;
  const health = (status >>> PMRSTS.HSTS_SHIFT) & 0x7;
  if (error === 0 && health <= 1) return;
  const state = PMR_HEALTH[health] ?? `in the unknown state ${health}`;
  const why = error === 0 ? `is ${state}` : `has lost writes (PMRSTS.ERR 0x${error.toString(16)})`;
  throw new P2pError("PMR_FAILED", `the persistent memory region of ${device} ${why}`, {
    device,
    hint: "what was written to it is not to be trusted; use another provider",
  });
}
