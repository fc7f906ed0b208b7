import { P2pError } from "../errors.js";
import { type Bdf, parseBdf } from "../pci/bdf.js";
import { parseSize, shortSize } from "../units.js";
import type { ProviderKind, RangePart } from "./provider-range.js";

/** How a provider is written. */
export const PROVIDER_FORM = "BDF[/cmb|/pmr|/dm|/barN[@OFFSET[+LENGTH]]]";

/** Memory that a device offers, or part of it, as named on the command line: PROVIDER_FORM. */
export interface ProviderSpec {
  device: Bdf;
  /** null leaves the choice to the device: its CMB or device memory, else its largest memory BAR; never its PMR. */
  memory: ProviderKind | null;
  /** null: all of it. */
  part: RangePart | null;
}

/** Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseProvider(text: string): ProviderSpec {
  const match = /^([^/@]+)(?:\/(cmb|pmr|dm|bar[0-5])(?:@([^+]+)(?:\+(.+))?)?)?$/i.exec(text.trim());
  if (match === null)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is not a provider`, {
      hint: `write ${PROVIDER_FORM}, such as 0000:03:00.0/cmb or 0000:05:00.0/bar2@1m+16m`,
    });
  const [, device, memory, offset, length] = match;
  return {
    device: parseBdf(device!),
    memory: (memory?.toLowerCase() as ProviderKind | undefined) ?? null,
    part: offset === undefined ? null : parsePart(offset, length),
  };
}

export function formatProvider({ device, memory, part }: ProviderSpec): string {
  if (memory === null) return device;
  if (part === null) return `${device}/${memory}`;
  const length = part.length === undefined ? "" : `+${shortSize(part.length)}`;
  return `${device}/${memory}@${shortSize(part.offset)}${length}`;
}

function parsePart(offset: string, length: string | undefined): RangePart {
  return {
    offset: parseSize(offset),
    ...(length === undefined ? {} : { length: parseSize(length) }),
  };
}
