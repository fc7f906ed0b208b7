import type { NativeRegion } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { Register } from "./spec.js";

const ALL_ONES = 0xffff_ffff;

/** The registers of one controller (NVMe 1.4 §3.1), in accesses of 32 bits, which §3.1 allows. */
export class Registers {
  readonly device: Bdf;
  readonly #bar0: NativeRegion;

  constructor(bar0: NativeRegion, device: Bdf) {
    this.device = device;
    this.#bar0 = bar0;
  }

  /**
   * No register that is read here is all ones on a controller that is there: that is what a read
   * returns which nobody answers (PCIe base §2.3.2). Errors: DEVICE_GONE.
   */
  read(offset: number): number {
    const value = this.#bar0.read32(offset);
    if (value === ALL_ONES)
      throw new P2pError(
        "DEVICE_GONE",
        `${this.device} does not answer: its registers read all ones`,
        {
          device: this.device,
          hint: "it was reset, removed, or its memory decode is off",
        },
      );
    return value;
  }

  /** Whether somebody answers at all. */
  get isThere(): boolean {
    return this.#bar0.read32(Register.CSTS) !== ALL_ONES;
  }

  write(offset: number, value: number): void {
    this.#bar0.write32(offset, value >>> 0);
  }

  /** A 64-bit register, high half first: a controller may latch it on the write of the low half. */
  writeAddress(offset: number, address: number, lowBits = 0): void {
    this.write(offset + 4, Math.floor(address / 2 ** 32));
    this.write(offset, (address % 2 ** 32) + lowBits);
  }
}

/** Controller Capabilities, §3.1.1. */
export class Capabilities {
  /** CAP.MQES, as a number of entries. */
  readonly maxQueueEntries: number;
  /** CAP.TO: the longest wait for CSTS.RDY, milliseconds. */
  readonly readyTimeout: number;
  /** CAP.DSTRD: bytes from one doorbell to the next. */
  readonly doorbellStride: number;
  /** CAP.CSS: the NVM command set is there. */
  readonly hasNvmCommandSet: boolean;
  /** CAP.CSS bit 6: it knows I/O command sets, and the data structures of NVMe 2.0 about them. */
  readonly hasIoCommandSets: boolean;
  /** CAP.MPSMIN, bytes. */
  readonly minPageSize: number;
  /** CAP.PMRS */
  readonly hasPmr: boolean;
  /** CAP.CMBS: CMBLOC and CMBSZ show only after CMBMSC.CRE. */
  readonly hasCmbControl: boolean;

  constructor(low: number, high: number) {
    this.maxQueueEntries = (low & 0xffff) + 1;
    this.readyTimeout = ((low >>> 24) + 1) * 500;
    this.doorbellStride = 4 << (high & 0xf);
    this.hasNvmCommandSet = ((high >>> 5) & 1) === 1;
    this.hasIoCommandSets = ((high >>> 11) & 1) === 1;
    this.minPageSize = 2 ** (12 + ((high >>> 16) & 0xf));
    this.hasPmr = ((high >>> 24) & 1) === 1;
    this.hasCmbControl = ((high >>> 25) & 1) === 1;
  }

  static read(registers: Registers): Capabilities {
    return new Capabilities(registers.read(Register.CAP), registers.read(Register.CAP + 4));
  }

  /** Offset of the SQ tail doorbell of queue `qid` from SQ0TDBL; the CQ head doorbell follows. */
  sqDoorbell(qid: number): number {
    return 2 * qid * this.doorbellStride;
  }

  cqDoorbell(qid: number): number {
    return (2 * qid + 1) * this.doorbellStride;
  }
}
