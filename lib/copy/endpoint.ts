import { P2pError } from "../errors.js";
import { type Bdf, parseBdf } from "../pci/bdf.js";
import type { ProviderKind, RangePart } from "../p2pmem/provider-range.js";
import { parseSize, shortSize } from "../units.js";

/** Part of a namespace, as named on the command line: `BDF[/NSID][@OFFSET[+LENGTH]]`. */
export interface Endpoint {
  device: Bdf;
  nsid: number;
  /** Bytes from the start of the namespace. */
  offset: number;
  /** Bytes; undefined reaches to the namespace's end. */
  length?: number;
}

/** How a provider is written. */
export const PROVIDER_FORM = "BDF[/cmb|/pmr|/barN[@OFFSET[+LENGTH]]]";

/** Memory that a device offers, or part of it, as named on the command line: PROVIDER_FORM. */
export interface ProviderSpec {
  device: Bdf;
  /** null leaves the choice to the device: its CMB, else its largest memory BAR; never its PMR. */
  memory: ProviderKind | null;
  /** null: all of it. */
  part: RangePart | null;
}

/** Namespace 1 and offset 0 where the text names none. Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseEndpoint(text: string): Endpoint {
  const match = /^([^/@]+)(?:\/(\d+))?(?:@([^+]+)(?:\+(.+))?)?$/.exec(text.trim());
  const nsid = Number(match?.[2] ?? 1);
  // NVMe 1.4 §6.1.2: 0 and FFFFFFFFh do not name a namespace.
  if (match === null || nsid === 0 || nsid >= 0xffffffff)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is not an endpoint`, {
      hint: "write BDF[/NSID][@OFFSET[+LENGTH]], such as 0000:03:00.0/1@1m+64m",
    });
  return {
    device: parseBdf(match[1]!),
    nsid,
    offset: parseSize(match[3] ?? "0"),
    ...(match[4] === undefined ? {} : { length: parseSize(match[4]) }),
  };
}

export function formatEndpoint({ device, nsid, offset, length }: Endpoint): string {
  const range = length === undefined ? "" : `+${shortSize(length)}`;
  return `${device}/${nsid}${offset === 0 && range === "" ? "" : `@${shortSize(offset)}${range}`}`;
}

/** Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseProvider(text: string): ProviderSpec {
  const match = /^([^/@]+)(?:\/(cmb|pmr|bar[0-5])(?:@([^+]+)(?:\+(.+))?)?)?$/i.exec(text.trim());
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
