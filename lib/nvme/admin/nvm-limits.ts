import { DSM } from "../spec.js";
import type { Fields } from "./fields.js";

/** Identify Controller of the NVM command set (CNS 06h; NVM Command Set 1.0 §4.1.5.2); 0: no limit. */
export const NVM_LIMIT_FIELDS = [
  ["vsl", 0, 1, "number"],
  ["wzsl", 1, 1, "number"],
  ["wusl", 2, 1, "number"],
  ["dmrl", 3, 1, "number"],
  ["dmrsl", 4, 4, "number"],
  ["dmsl", 8, 8, "wide"],
] as const;

export type NvmLimitFields = Fields<typeof NVM_LIMIT_FIELDS>;

/** What one Write Zeroes or Dataset Management command may hold. */
export interface NvmLimits {
  /** Bytes of a Write Zeroes. */
  zeroedBytes: number;
  /** Ranges of a Dataset Management, blocks of one, and of all together. */
  ranges: number;
  rangeBlocks: number;
  totalBlocks: number;
}

/** `fields` null: the controller has none to tell of. `minPageSize`: CAP.MPSMIN, the unit of WZSL. */
export function nvmLimits(fields: NvmLimitFields | null, minPageSize: number): NvmLimits {
  const { wzsl = 0, dmrl = 0, dmrsl = 0, dmsl = 0n } = fields ?? {};
  return {
    zeroedBytes: wzsl === 0 ? Infinity : 2 ** wzsl * minPageSize,
    ranges: dmrl === 0 ? DSM.MAX_RANGES : dmrl,
    // A range counts its blocks in 32 bits.
    rangeBlocks: dmrsl === 0 ? 0xffff_ffff : dmrsl,
    totalBlocks: dmsl === 0n ? Infinity : Number(dmsl),
  };
}
