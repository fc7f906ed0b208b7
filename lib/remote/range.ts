import { P2pError } from "../errors.js";
import type { OpenRange } from "./machine.js";

type Range = Pick<OpenRange, "place" | "bytes">;

/** What a copy between two machines is of, as the command line says it. Bytes. */
interface Wanted {
  size?: number;
  bs: number;
  /** LENGTH of either endpoint. */
  sourceLength?: number;
  destinationLength?: number;
}

/**
 * Bytes to copy: as with a copy within a machine the size wins, then LENGTH at the source, then at the
 * destination, else it is all that the source has. Errors: BAD_RANGE, UNALIGNED.
 */
export function sizeOf(wanted: Wanted, source: Range, destination: Range): number {
  const { bs, sourceLength, destinationLength } = wanted;
  const size = wanted.size ?? sourceLength ?? destinationLength ?? source.bytes;
  if (size === 0) throw new P2pError("BAD_RANGE", "there is nothing to copy: the size is 0");
  for (const { place, bytes } of [source, destination]) {
    const { name, blockSize, offset } = place;
    if (size > bytes)
      throw new P2pError(
        "BAD_RANGE",
        `${size} bytes, but ${name} has ${bytes} from its offset on`,
        {
          hint: "give a smaller size or offset",
        },
      );
    for (const [what, value] of [
      ["block size", bs],
      ["offset", offset],
      ["size", size],
    ] as const)
      if (value % blockSize !== 0)
        throw new P2pError(
          "UNALIGNED",
          `${what} ${value} is no multiple of the ${blockSize} byte blocks of ${name}`,
          { hint: `use multiples of ${blockSize} bytes` },
        );
  }
  return size;
}
