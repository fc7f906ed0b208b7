import { P2pError } from "../errors.js";
import { type Bdf, parseBdf } from "../pci/bdf.js";
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
