import { resolve } from "node:path";
import { P2pError } from "../errors.js";
import { parseSize, shortSize } from "../units.js";

/** Part of what the kernel's own driver shows: `/dev/nvmeXnY[@OFFSET[+LENGTH]]`, `file:PATH[@…]`. */
export interface KernelEndpoint {
  /** Absolute, of a block device or a file. */
  file: string;
  /** Bytes from its start. */
  offset: number;
  length?: number;
}

const FORM = /^(?:(\/dev\/[^@]+)|file:([^@]+))(?:@([^+@]+)(?:\+([^+@]+))?)?$/;

/** Whether the text is meant to be one, rather than a namespace that p2pmem drives. */
export function isKernelEndpoint(text: string): boolean {
  return /^\s*(?:file:|\/)/.test(text);
}

/** Offset 0 where the text names none; a relative PATH is one of the working directory. Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseKernelEndpoint(text: string): KernelEndpoint {
  const [, device, path, offset = "0", length] = FORM.exec(text.trim()) ?? [];
  const file = device ?? path;
  if (file === undefined)
    throw new P2pError("BAD_ENDPOINT", `"${text}" is no endpoint of the kernel's driver`, {
      hint: "write /dev/nvmeXnY[@OFFSET[+LENGTH]] or file:PATH[@OFFSET[+LENGTH]]; PATH has no @",
    });
  return {
    file: resolve(file),
    offset: parseSize(offset),
    ...(length === undefined ? {} : { length: parseSize(length) }),
  };
}

/** As parseKernelEndpoint() reads it. */
export function formatKernelEndpoint({ file, offset, length }: KernelEndpoint): string {
  const range = length === undefined ? "" : `+${shortSize(length)}`;
  const part = offset === 0 && range === "" ? "" : `@${shortSize(offset)}${range}`;
  return `${file.startsWith("/dev/") ? "" : "file:"}${file}${part}`;
}
