import { P2pError } from "../errors.js";

/** PCI address of a function: domain, bus, device, function, as `0000:03:00.0`. */
export type Bdf = string & { readonly __brand: "Bdf" };

/** A bus has 32 devices of 8 functions; the kernel's domains have four digits or more. */
const PATTERN = /^(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-1][0-9a-f])\.([0-7])$/i;

/** Whether the kernel names a function so: with its domain, in lower case. */
export function isBdf(name: string): name is Bdf {
  return PATTERN.exec(name)?.[1] !== undefined && name === name.toLowerCase();
}

/** Accepts `03:00.0` as well, for domain 0. Errors: BAD_ENDPOINT. */
export function parseBdf(text: string): Bdf {
  const match = PATTERN.exec(text);
  if (!match)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is not a PCI address`, {
      hint: "write it as lspci -D does, for example 0000:03:00.0",
    });
  const [, domain = "0000", bus, device, fn] = match;
  return `${domain}:${bus}:${device}.${fn}`.toLowerCase() as Bdf;
}
