import { readFileSync, statSync } from "node:fs";
import { P2pError } from "../errors.js";

const MIN_BYTES = 16;
const MAX_BYTES = 4096;
const MAKE_ONE = "make one: (umask 077; head -c 32 /dev/urandom | base64 > FILE)";

/**
 * The secret in a file, without the ends of lines that editors leave behind it. Errors: BAD_KEY_FILE: not
 * there, readable by others than its owner, or too short to be one.
 */
export function readKeyFile(path: string): Uint8Array {
  const refuse = (why: string, hint: string, cause?: unknown): P2pError =>
    new P2pError("BAD_KEY_FILE", `the key file ${path} ${why}`, { hint, cause });
  let bytes: Buffer;
  let mode: number;
  try {
    mode = statSync(path).mode;
    bytes = readFileSync(path);
  } catch (error) {
    throw refuse(`cannot be read: ${(error as NodeJS.ErrnoException).code}`, MAKE_ONE, error);
  }
  if ((mode & 0o077) !== 0) throw refuse("may be read by others", `chmod 600 ${path}`);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  if (end < MIN_BYTES || end > MAX_BYTES)
    throw refuse(`has ${end} bytes, not ${MIN_BYTES} to ${MAX_BYTES}`, MAKE_ONE);
  return Uint8Array.from(bytes.subarray(0, end));
}
