/** Controller memory buffers in a machine file (NVMe 1.4 §4.7). */
import { z } from "zod";
import { formatSize } from "../units.js";
import { LARGEST, only, size } from "./schema.js";

/** Sizes in bytes. What CMBSZ and CMBLOC say of it is named as there. */
export interface CmbConfiguration {
  size: number;
  /** In its BAR. */
  offset: number;
  /** CMBSZ.SZU in bytes. */
  unit: number;
  /** As it was before NVMe 1.4: always there, at its bus address. */
  legacy: boolean;
  sqs: boolean;
  cqs: boolean;
  lists: boolean;
  rds: boolean;
  wds: boolean;
  /** CQMMS, CDPMLS, CDPCILS and CDMMMS: what belongs together may lie in and outside of it. */
  mixed: boolean;
}

/** CMBSZ.SZU, 0 to 6. */
const UNITS = Array.from({ length: 7 }, (_, szu) => 4096 * 16 ** szu);
/** CMBSZ.SZ and CMBLOC.OFST have 20 bits. */
const MOST_UNITS = 0xf_ffff;
const MIB = 2 ** 20;

const flag = z.boolean("must be true or false");

interface Parts {
  size: number;
  offset?: number | undefined;
  unit?: number | undefined;
  legacy?: boolean | undefined;
  sqs?: boolean | undefined;
  cqs?: boolean | undefined;
  lists?: boolean | undefined;
  rds?: boolean | undefined;
  wds?: boolean | undefined;
  mixed?: boolean | undefined;
}

/** Fills in what was not said. */
export function configureCmb(parts: Parts): CmbConfiguration {
  const { size, offset = 0, legacy = false } = parts;
  const unit = parts.unit ?? (size % MIB === 0 && offset % MIB === 0 ? MIB : 4096);
  const { sqs = true, cqs = true, lists = true, rds = true, wds = true } = parts;
  // The bits that allow it came with 1.4.
  const { mixed = !legacy } = parts;
  return { size, offset, unit, legacy, sqs, cqs, lists, rds, wds, mixed };
}

export const cmb = only({
  size,
  offset: size.optional(),
  unit: size
    .refine((bytes) => UNITS.includes(bytes), `must be one of ${UNITS.map(formatSize).join(", ")}`)
    .optional(),
  legacy: flag.optional(),
  sqs: flag.optional(),
  cqs: flag.optional(),
  lists: flag.optional(),
  rds: flag.optional(),
  wds: flag.optional(),
  mixed: flag.optional(),
})
  .transform(configureCmb)
  .superRefine((value, context) => {
    const { unit } = value;
    for (const key of ["size", "offset"] as const) {
      const bytes = value[key];
      const isExpressible = bytes % unit === 0 && bytes / unit <= MOST_UNITS;
      if (!isExpressible || bytes > LARGEST / 2 || (key === "size" && bytes === 0))
        context.addIssue({
          code: "custom",
          path: [key],
          message: `must be a multiple of the unit, ${formatSize(unit)}, that CMBSZ can express`,
        });
    }
    if (value.legacy && value.mixed)
      context.addIssue({ code: "custom", path: ["mixed"], message: "came with NVMe 1.4" });
    if (value.lists && !value.sqs)
      context.addIssue({
        code: "custom",
        path: ["lists"],
        message: "needs sqs (NVMe 1.4 §3.1.12, LISTS)",
      });
  });
