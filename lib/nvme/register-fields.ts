/** The registers of a controller, bit by bit (NVMe 1.4 §3.1; NVMe 2.0 for what it has added). */
import type { NativeRegion } from "../addon.js";
import type { Bdf } from "../pci/bdf.js";
import { decodeBits, type BitFields } from "./admin/fields.js";
import { hideCmb } from "./memory/cmb.js";
import { Capabilities, Registers } from "./registers.js";
import { CMBMSC, Register } from "./spec.js";

type RegisterRow = readonly [name: string, offset: number, bytes: 4 | 8, fields: BitFields];

const TABLE: readonly RegisterRow[] = [
  [
    "CAP",
    0x00,
    8,
    {
      MQES: [0, 15],
      CQR: 16,
      AMS: [17, 18],
      TO: [24, 31],
      DSTRD: [32, 35],
      NSSRS: 36,
      CSS: [37, 44],
      BPS: 45,
      CPS: [46, 47],
      MPSMIN: [48, 51],
      MPSMAX: [52, 55],
      PMRS: 56,
      CMBS: 57,
      NSSS: 58,
      CRWMS: 59,
      CRIMS: 60,
    },
  ],
  ["VS", 0x08, 4, { TER: [0, 7], MNR: [8, 15], MJR: [16, 31] }],
  ["INTMS", 0x0c, 4, { IVMS: [0, 31] }],
  ["INTMC", 0x10, 4, { IVMC: [0, 31] }],
  [
    "CC",
    0x14,
    4,
    {
      EN: 0,
      CSS: [4, 6],
      MPS: [7, 10],
      AMS: [11, 13],
      SHN: [14, 15],
      IOSQES: [16, 19],
      IOCQES: [20, 23],
      CRIME: 24,
    },
  ],
  ["CSTS", 0x1c, 4, { RDY: 0, CFS: 1, SHST: [2, 3], NSSRO: 4, PP: 5, ST: 6 }],
  ["AQA", 0x24, 4, { ASQS: [0, 11], ACQS: [16, 27] }],
  ["ASQ", 0x28, 8, { ASQB: [12, 63] }],
  ["ACQ", 0x30, 8, { ACQB: [12, 63] }],
  [
    "CMBLOC",
    0x38,
    4,
    { BIR: [0, 2], CQMMS: 3, CQPDS: 4, CDPMLS: 5, CDPCILS: 6, CDMMMS: 7, CQDA: 8, OFST: [12, 31] },
  ],
  ["CMBSZ", 0x3c, 4, { SQS: 0, CQS: 1, LISTS: 2, RDS: 3, WDS: 4, SZU: [8, 11], SZ: [12, 31] }],
  ["BPINFO", 0x40, 4, { BPSZ: [0, 14], BRS: [24, 25], ABPID: 31 }],
  ["BPRSEL", 0x44, 4, { BPRSZ: [0, 9], BPROF: [10, 29], BPID: 31 }],
  ["BPMBL", 0x48, 8, { BMBBA: [12, 63] }],
  ["CMBMSC", 0x50, 8, { CRE: 0, CMSE: 1, CBA: [12, 63] }],
  ["CMBSTS", 0x58, 4, { CBAI: 0 }],
  ["CMBEBS", 0x5c, 4, { CMBSZU: [0, 3], RBB: 4, CMBWBZ: [8, 31] }],
  ["CMBSWTP", 0x60, 4, { CMBSWTU: [0, 3], CMBSWTV: [8, 31] }],
  ["CRTO", 0x68, 4, { CRWMT: [0, 15], CRIMT: [16, 31] }],
  [
    "PMRCAP",
    0xe00,
    4,
    { RDS: 3, WDS: 4, BIR: [5, 7], PMRTU: [8, 9], PMRWBM: [10, 13], PMRTO: [16, 23], CMSS: 24 },
  ],
  ["PMRCTL", 0xe04, 4, { EN: 0 }],
  ["PMRSTS", 0xe08, 4, { ERR: [0, 7], NRDY: 8, HSTS: [9, 11], CBAI: 12 }],
  ["PMREBS", 0xe0c, 4, { PMRSZU: [0, 3], RBB: 4, PMRWBZ: [8, 31] }],
  ["PMRSWTP", 0xe10, 4, { PMRSWTU: [0, 3], PMRSWTV: [8, 31] }],
  ["PMRMSCL", 0xe14, 4, { CMSE: 1, CBA: [12, 31] }],
  ["PMRMSCU", 0xe18, 4, { CBA: [0, 31] }],
];

/** A register as it was read; its parts by the specification's names. */
export interface RegisterValue {
  name: string;
  offset: number;
  bytes: number;
  value: bigint;
  fields: Record<string, number>;
}

/**
 * All registers. A CMB that hides is made to show itself meanwhile (CMBMSC.CRE), since CMBLOC and
 * CMBSZ say nothing before; nothing else is written. MSI-X must be off, or INTMS and INTMC may not be
 * read (§3.1.3). Errors: DEVICE_GONE.
 */
export function readRegisters(bar0: NativeRegion, device: Bdf): RegisterValue[] {
  const registers = new Registers(bar0, device);
  const { hasCmbControl } = Capabilities.read(registers);
  const isHidden = hasCmbControl && (registers.read(Register.CMBMSC) & CMBMSC.CRE) === 0;
  if (isHidden) registers.writeAddress(Register.CMBMSC, 0, CMBMSC.CRE);
  try {
    return TABLE.map(([name, offset, bytes, fields]) => {
      const high = bytes === 8 ? BigInt(bar0.read32(offset + 4)) : 0n;
      const value = (high << 32n) | BigInt(bar0.read32(offset));
      return { name, offset, bytes, value, fields: decodeBits(fields, value) };
    });
  } finally {
    if (isHidden) hideCmb(registers);
  }
}
