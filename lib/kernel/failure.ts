/** What the kernel says of a request that it did not do, as an error of p2pmem. */
import { P2pError, type P2pErrorDetails } from "../errors.js";

/** What Node throws where a system call fails: `errno` is negated. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && !(error instanceof P2pError) && "errno" in error;
}

/** IO, of a read or write of one piece of a file; what is no failed system call stays what it is. */
export function transferError(
  error: unknown,
  file: string,
  offset: number,
  details: P2pErrorDetails = {},
): unknown {
  if (!isSystemError(error)) return error;
  const { code = "", errno = 0, syscall = "" } = error;
  return new P2pError("IO", `${syscall} of ${file} at byte ${offset} failed: ${code}`, {
    hint: "look at the kernel's log: dmesg",
    ...details,
    ...{ errno: -errno, syscall, cause: error },
  });
}

/** IO: fewer bytes than were asked for. */
export function shortTransfer(
  what: "a read" | "a write",
  file: string,
  offset: number,
  moved: number,
  length: number,
): P2pError {
  return new P2pError(
    "IO",
    `${what} of ${file} at byte ${offset} moved ${moved} of ${length} bytes`,
    { hint: "it ends there, or became shorter meanwhile" },
  );
}
