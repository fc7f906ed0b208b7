import { P2pError } from "../errors.js";
import { isPowerOfTwo } from "../units.js";

/**
 * What may be asked of an allocator of pages: `length` and `alignment` in bytes, the alignment a power
 * of two, a page or more. `what` is allocated, for the message. Errors: BAD_ARGUMENT.
 */
export function assertRequest(length: number, alignment: number, page: number, what: string): void {
  if (!Number.isSafeInteger(length) || length <= 0)
    throw new P2pError("BAD_ARGUMENT", `cannot allocate ${length} bytes of ${what}`, {
      hint: "give a whole number of bytes, 1 or more",
    });
  if (alignment !== page && !(alignment > page && isPowerOfTwo(alignment)))
    throw new P2pError(
      "BAD_ARGUMENT",
      `cannot allocate ${length} bytes of ${what} with an alignment of ${alignment}`,
      { hint: `give a power of two, ${page} or more` },
    );
}
