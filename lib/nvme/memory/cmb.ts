/**
 * The controller memory buffer (NVMe 1.4 §4.7, §3.1.11, §3.1.12, §3.1.16): memory in a BAR of the
 * controller. Since 1.4 it is hidden until the host asks for it, and answers to addresses that the
 * host chooses; before, it was simply there at its bus address.
 */
import { P2pError } from "../../errors.js";
import type { Capabilities, Registers } from "../registers.js";
import { CMBMSC, CMBSTS, Register } from "../spec.js";

/** A range of a BAR that a controller offers as memory. */
export interface ControllerMemory {
  readonly bar: number;
  /** Bytes from the start of the BAR. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  /** Of commands that send data to the host, as Read does, it may be the target (RDS, §3.1.12). */
  readonly takesReadData: boolean;
  /** Of commands that take data from the host, as Write does, it may be the source (WDS). */
  readonly givesWriteData: boolean;
}

export interface Cmb extends ControllerMemory {
  readonly holdsSubmissionQueues: boolean;
  readonly holdsCompletionQueues: boolean;
  readonly holdsLists: boolean;
  /** Bytes that the controller says it has, and answers to: more than `size` if its BAR is smaller. */
  readonly claimed: number;
}

/** CMBLOC and CMBSZ; null where there is no CMB. Offset and size have the same unit, CMBSZ.SZU. */
export function decodeCmb(cmbloc: number, cmbsz: number): Cmb | null {
  const unit = 2 ** (12 + 4 * ((cmbsz >>> 8) & 0xf));
  const size = (cmbsz >>> 12) * unit;
  if (size === 0) return null;
  return {
    bar: cmbloc & 0x7,
    offset: (cmbloc >>> 12) * unit,
    size,
    holdsSubmissionQueues: (cmbsz & (1 << 0)) !== 0,
    holdsCompletionQueues: (cmbsz & (1 << 1)) !== 0,
    holdsLists: (cmbsz & (1 << 2)) !== 0,
    claimed: size,
    takesReadData: (cmbsz & (1 << 3)) !== 0,
    givesWriteData: (cmbsz & (1 << 4)) !== 0,
  };
}

/**
 * Makes the CMB show itself, where it has to be asked, and says where it is. `barSize` gives the
 * bytes of a BAR: of a CMB that claims more than its BAR has only that much is there (§3.1.12, SZ).
 * Errors: DEVICE_GONE.
 */
export function revealCmb(
  registers: Registers,
  capabilities: Capabilities,
  barSize: (bar: number) => number,
): Cmb | null {
  if (capabilities.hasCmbControl) {
    registers.writeAddress(Register.CMBMSC, 0, CMBMSC.CRE);
    registers.read(Register.CMBMSC); // CMBLOC and CMBSZ are valid once the write has arrived
  }
  const cmb = decodeCmb(registers.read(Register.CMBLOC), registers.read(Register.CMBSZ));
  const room = cmb ? barSize(cmb.bar) - cmb.offset : 0;
  return cmb && room > 0 ? { ...cmb, size: Math.min(cmb.size, room) } : null;
}

/**
 * Tells the controller the address by which it and its peers name the CMB: behind an IOMMU the IOVA
 * at which the BAR range is mapped, which must overlap none of its other addresses. A controller
 * before 1.4 has no such register and matches its own bus address: `base` must be that.
 * Errors: CMB_REFUSED, DEVICE_GONE.
 */
export function enableCmb(
  registers: Registers,
  capabilities: Capabilities,
  cmb: Cmb,
  base: number,
  busAddress: number,
): void {
  const refuse = (why: string): P2pError =>
    new P2pError("CMB_REFUSED", `the controller memory buffer of ${registers.device} ${why}`, {
      device: registers.device,
    });
  if (!capabilities.hasCmbControl) {
    if (base !== busAddress)
      throw refuse(`can be used at its bus address 0x${busAddress.toString(16)} only (NVMe < 1.4)`);
    return;
  }
  // Beyond what is mapped for it, too, it would swallow what is meant for others.
  if (cmb.claimed > cmb.size)
    throw refuse(`claims ${cmb.claimed} bytes, of which its BAR has ${cmb.size}`);
  registers.writeAddress(Register.CMBMSC, base, CMBMSC.CRE | CMBMSC.CMSE);
  registers.read(Register.CMBMSC);
  if ((registers.read(Register.CMBSTS) & CMBSTS.CBAI) !== 0)
    throw refuse(`does not accept the address 0x${base.toString(16)}`);
}

/** It answers to no address any more, but still shows where it is. Errors: DEVICE_GONE. */
export function withdrawCmb(registers: Registers): void {
  registers.writeAddress(Register.CMBMSC, 0, CMBMSC.CRE);
  registers.read(Register.CMBMSC); // the write has arrived
}

/** Hides it again, where CAP.CMBS says that it can be. */
export function hideCmb(registers: Registers): void {
  registers.writeAddress(Register.CMBMSC, 0);
}
