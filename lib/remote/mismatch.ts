import { P2pError } from "../errors.js";
import type { Place } from "./protocol.js";

/** The ranges at both ends. */
export interface Places {
  source: Place;
  destination: Place;
}

/** A block of the range whose CRC-32C, read back, is another one than at the source. */
export function mismatchAt(
  { source, destination }: Places,
  bs: number,
  block: number,
  sums: { sent: number; found: number },
): P2pError {
  const at = (place: Place): string =>
    `${place.name}, LBA ${Math.floor((place.offset + block * bs) / place.blockSize)}`;
  return new P2pError(
    "DATA_MISMATCH",
    `block ${block} of ${bs} bytes: ${at(destination)} has CRC-32C ${hex(sums.found)}, ${at(source)} ${hex(sums.sent)}`,
    { hint: "it arrived wrong, or somebody else wrote one of the two meanwhile" },
  );
}

function hex(sum: number): string {
  return sum.toString(16).padStart(8, "0");
}
