/**
 * The controller memory buffer (NVMe 1.4 §4.7, §3.1.11, §3.1.12, §3.1.16): memory in a BAR of the
 * controller. Since 1.4 it is hidden until the host asks for it, and answers to addresses that the
 * host chooses; before, since 1.2, it was simply there at its bus address.
 */
import { P2pError } from "../../errors.js";
import type { Capabilities, Registers } from "../registers.js";
import {
  CMBLOC_FREEDOMS,
  CMBMSC,
  CMBSTS,
  CMBSZ_ABILITIES,
  Register,
  VERSION_1_2,
} from "../spec.js";

/**
 * What a controller's memory may be used for by the controller's own commands: hold submission
 * queues (SQS), completion queues (CQS), PRP lists and SGLs (LISTS); be the target of commands that
 * send data to the host, as Read does (RDS), or the source of those that take it, as Write does (WDS).
 */
export type Ability = (typeof CMBSZ_ABILITIES)[number];
/** What need not lie together on a controller, in its CMB or outside. */
export type Freedom = (typeof CMBLOC_FREEDOMS)[number];

/** A range of a BAR that a controller offers as memory. */
export interface ControllerMemory {
  readonly bar: number;
  /** Bytes from the start of the BAR. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
  readonly abilities: readonly Ability[];
}

export interface Cmb extends ControllerMemory {
  readonly freedoms: readonly Freedom[];
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
    abilities: CMBSZ_ABILITIES.filter((_, bit) => (cmbsz & (1 << bit)) !== 0),
    freedoms: CMBLOC_FREEDOMS.filter((_, bit) => (cmbloc & (1 << (3 + bit))) !== 0),
    claimed: size,
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
  if (capabilities.hasCmbControl) showCmb(registers);
  // Before 1.2 the two registers were reserved.
  else if (registers.read(Register.VS) < VERSION_1_2) return null;
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
  const refuse = (why: string, hint: string): P2pError =>
    new P2pError("CMB_REFUSED", `the controller memory buffer of ${registers.device} ${why}`, {
      device: registers.device,
      hint,
    });
  const other = "use another provider, such as a p2pmem card, or host memory";
  if (!capabilities.hasCmbControl) {
    if (base !== busAddress)
      throw refuse(
        `answers at its bus address 0x${busAddress.toString(16)} alone (NVMe < 1.4), where the IOMMU cannot map it, or maps something else`,
        `let the firmware place its BAR where the IOMMU can map it (below 4 GiB, say), or ${other}`,
      );
    return;
  }
  // Beyond what is mapped for it, too, it would swallow what is meant for others.
  if (cmb.claimed > cmb.size)
    throw refuse(`claims ${cmb.claimed} bytes, of which its BAR has ${cmb.size}`, other);
  registers.writeAddress(Register.CMBMSC, base, CMBMSC.CRE | CMBMSC.CMSE);
  registers.read(Register.CMBMSC);
  if ((registers.read(Register.CMBSTS) & CMBSTS.CBAI) !== 0)
    throw refuse(`does not accept the address 0x${base.toString(16)}`, other);
}

/** It shows where it is, but answers to no address, also if it did before. Errors: DEVICE_GONE. */
export function showCmb(registers: Registers): void {
  registers.writeAddress(Register.CMBMSC, 0, CMBMSC.CRE);
  registers.read(Register.CMBMSC); // CMBLOC and CMBSZ are valid once the write has arrived
}

/** Hides it again, where CAP.CMBS says that it can be. */
export function hideCmb(registers: Registers): void {
  registers.writeAddress(Register.CMBMSC, 0);
}

/** What of a queue pair shall be in the CMB. */
export interface CmbUse {
  /** Its submission queue. */
  readonly queue: boolean;
  /** The PRP lists or SGLs of its commands. */
  readonly lists: boolean;
}

/**
 * Which bit forbids such a use: of CMBSZ, or CDPCILS of CMBLOC, without which lists may lie in the
 * CMB only if the commands that name them do. Null: none does. The other rules of CMBLOC are kept by
 * whoever has each queue, and all lists of a command, in one piece.
 */
export function lackingFor(
  { abilities, freedoms }: Pick<Cmb, "abilities" | "freedoms">,
  { queue, lists }: CmbUse,
): "SQS" | "LISTS" | "CDPCILS" | null {
  if (queue && !abilities.includes("SQS")) return "SQS";
  if (lists && !abilities.includes("LISTS")) return "LISTS";
  return lists && !queue && !freedoms.includes("CDPCILS") ? "CDPCILS" : null;
}
