/** NVMe controllers in a machine file. */
import path from "node:path";
import { z } from "zod";
import type { NativeFault } from "../addon.js";
import { formatSize } from "../units.js";
import { fault } from "./fault-schema.js";
import { cmb, configureCmb, type CmbConfiguration } from "./cmb-schema.js";
import { acs, driver, LARGEST, only, powerOfTwo, shortOr, size } from "./schema.js";

export interface CopyConfiguration {
  /** Descriptor formats (OCFS); none: there is no Copy. */
  formats: number[];
  /** MSRC + 1. */
  maxRanges: number;
  /** MSSRL, blocks of one range. */
  rangeBlocks: number;
  /** MCL, blocks of one command. */
  blocks: number;
}

export interface NvmeConfiguration {
  kind: "nvme";
  /** Name of the driver that it is bound to; null: none. */
  driver: string | null;
  serial: string;
  /** Its controller memory buffer. */
  cmb: CmbConfiguration | null;
  /** Its persistent memory region, in memory or in a file. */
  pmr: { size: number; file: string | null } | null;
  /** How it wants the data blocks of SGLs aligned; none: it takes no SGLs. */
  sgl: "none" | "byte" | "dword";
  /** Copy, as Identify shows it. */
  copy: CopyConfiguration;
  /** It takes Doorbell Buffer Config. */
  shadowDoorbells: boolean;
  /** The largest transfer of one command. */
  maxTransfer: number;
  /** CAP.DSTRD. */
  doorbellStride: number;
  namespaces: { size: number; block: 512 | 4096; file: string | null }[];
  /** What it does wrong from the start. */
  faults: NativeFault[];
}

const fileName = z.string("must be the path of a file").min(1, "must be the path of a file");

const namespace = only({
  size: size.optional(),
  block: size
    .refine((bytes) => bytes === 512 || bytes === 4096, "must be 512 or 4096")
    .default(512),
  file: fileName.optional(),
}).superRefine((value, context) => {
  if (value.size === undefined) {
    if (value.file === undefined) context.addIssue("needs a size, or a file that has one");
  } else if (value.size === 0 || value.size % value.block !== 0 || value.size > LARGEST) {
    context.addIssue({
      code: "custom",
      path: ["size"],
      message: `must be a multiple of the block size, ${value.block} bytes, up to ${formatSize(LARGEST)}`,
    });
  }
});

const blockCount = (most: number) => {
  const message = `must be a whole number from 1 to ${most}`;
  return z.int(message).min(1, message).max(most, message);
};

const copy = only({
  formats: z
    .array(z.literal([0, 1, 2, 3], "must be one of 0, 1, 2, 3"), "must be a list of 0, 1, 2, 3")
    .default([0, 1, 2, 3]),
  max_ranges: blockCount(256).default(128),
  max_range_blocks: blockCount(0xffff).default(1024),
  max_blocks: blockCount(2 ** 20).default(4096),
});

export const nvme = only({
  device: z.literal("nvme"),
  acs,
  driver,
  serial: z
    .string("must be 1 to 20 ASCII characters")
    .regex(/^[\x21-\x7e]{1,20}$/, "must be 1 to 20 ASCII characters")
    .optional(),
  cmb: shortOr(powerOfTwo(LARGEST), cmb).optional(),
  pmr: shortOr(
    powerOfTwo(LARGEST).transform((size) => ({ size, file: undefined })),
    only({ size: powerOfTwo(LARGEST), file: fileName.optional() }),
  ).optional(),
  sgl: z.enum(["none", "byte", "dword"], "must be none, byte or dword").default("byte"),
  copy: copy.default(() => copy.parse({})),
  shadow_doorbells: z.boolean("must be true or false").default(false),
  max_transfer: powerOfTwo(128 * 2 ** 20).default(512 * 1024),
  doorbell_stride: z
    .int("must be a whole number from 0 to 8")
    .min(0, "must be a whole number from 0 to 8")
    .max(8, "must be a whole number from 0 to 8")
    .default(0),
  namespaces: z
    .array(namespace, "must be a list of namespaces")
    .max(1024, "must be no more than 1024")
    .default(() => [{ size: 128 * 2 ** 20, block: 512 as const }]),
  faults: z.array(fault, "must be a list of faults").default([]),
});

/** `directory` is where relative paths start. */
export function configureNvme(
  parsed: z.output<typeof nvme>,
  serial: string,
  directory: string,
): NvmeConfiguration {
  const absolute = (file: string | undefined) =>
    file === undefined ? null : path.resolve(directory, file);
  return {
    kind: "nvme",
    driver: parsed.driver,
    serial,
    cmb: typeof parsed.cmb === "number" ? configureCmb({ size: parsed.cmb }) : (parsed.cmb ?? null),
    pmr: parsed.pmr ? { size: parsed.pmr.size, file: absolute(parsed.pmr.file) } : null,
    sgl: parsed.sgl,
    copy: {
      formats: parsed.copy.formats,
      maxRanges: parsed.copy.max_ranges,
      rangeBlocks: parsed.copy.max_range_blocks,
      blocks: parsed.copy.max_blocks,
    },
    shadowDoorbells: parsed.shadow_doorbells,
    maxTransfer: parsed.max_transfer,
    doorbellStride: parsed.doorbell_stride,
    namespaces: parsed.namespaces.map(({ size = 0, block, file }) => ({
      size,
      block,
      file: absolute(file),
    })),
    faults: parsed.faults,
  };
}
