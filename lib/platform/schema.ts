/** What the parts of a machine file are checked with. */
import { z } from "zod";
import { formatSize, parseSize } from "../units.js";

/** Bits of a port's ACS control register (PCIe 6.0 §7.7.11.3) that a machine can have on. */
export type AcsControl = "sv" | "tb" | "rr" | "cr" | "uf";

/** The most that one device may hold, as in native/bindings/fields.h. */
export const LARGEST = 2 ** 37;
export const PAGE = 4096;

export const size = z
  .union([z.string(), z.number()], "must be a size, such as 64m")
  .transform((value, context) => {
    try {
      return parseSize(String(value));
    } catch {
      context.addIssue(`"${value}" is not a size; write bytes, or a number with k, m or g: 64m`);
      return z.NEVER;
    }
  });

/** A size that a BAR or MDTS can express. */
export const powerOfTwo = (most: number) =>
  size.refine((bytes) => bytes >= PAGE && bytes <= most && Number.isInteger(Math.log2(bytes)), {
    error: `must be a power of two from ${formatSize(PAGE)} to ${formatSize(most)}`,
  });

/** An object that has these keys and no others, and says so. */
export function only<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? `no such key; allowed here: ${Object.keys(shape).join(", ")}`
        : "must be a mapping of keys to values",
  });
}

/**
 * A value that is short for a mapping, or the mapping itself. Unlike a union it says what is wrong
 * with the one that was meant.
 */
export function shortOr<Short extends z.ZodType, Long extends z.ZodType>(short: Short, long: Long) {
  return z.unknown().transform((value, context): z.output<Short> | z.output<Long> => {
    const isMapping = typeof value === "object" && value !== null;
    const parsed = (isMapping ? long : short).safeParse(value);
    if (parsed.success) return parsed.data;
    for (const issue of parsed.error.issues) context.addIssue({ ...issue });
    return z.NEVER;
  });
}

export const acs = z
  .array(z.enum(["sv", "tb", "rr", "cr", "uf"], "must be one of sv, tb, rr, cr, uf"), {
    error: "must be a list of sv, tb, rr, cr, uf; [] for none",
  })
  .optional();

/** The driver that a device is bound to; `usual`: where the file does not say. */
export const driverOr = (usual: string) =>
  z
    .string("must be the name of a driver, or none")
    .default(usual)
    .transform((name) => (name === "none" ? null : name));

export const driver = driverOr("vfio-pci");
