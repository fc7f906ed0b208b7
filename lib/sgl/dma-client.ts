import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { isPowerOfTwo } from "../units.js";

/** What a device can take of a mapped list. Whatever is left out has no limit. */
export interface DmaLimits {
  /** Bytes of a segment, at most. */
  readonly maxSegment?: number;
  /** Bytes, a power of two: no segment reaches over a multiple of it. */
  readonly boundary?: number;
  /** Number of segments, at most. */
  readonly maxSegments?: number;
}

/**
 * For the compiler alone: which device something is for, where that is known as a literal. As the
 * parameter of a method is compared in both directions, two literals exclude each other, and a
 * plain string goes with all of them (and is looked at when the program runs).
 */
export interface ForDevice<Address extends string> {
  readonly __device?: { is(address: Address): void };
}

/** A literal as it is; any other string, a Bdf among them, says nothing before run time. */
export type KnownAddress<Text extends string> = Text extends Bdf ? string : Text;

/** A device that masters DMA, as its driver knows it. */
export interface DmaClient<Address extends string = string> extends ForDevice<Address> {
  readonly address: Bdf;
  readonly dmaLimits: DmaLimits;
}

/** Errors: BAD_ARGUMENT. */
export function checkLimits({ maxSegment, boundary, maxSegments }: DmaLimits): void {
  for (const [what, value] of [
    ["the most bytes of a segment", maxSegment],
    ["the most segments", maxSegments],
  ] as const)
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      throw new P2pError("BAD_ARGUMENT", `${what} must be 1 or more, not ${value}`);
  if (boundary !== undefined && !(boundary >= 1 && isPowerOfTwo(boundary)))
    throw new P2pError("BAD_ARGUMENT", `a boundary must be a power of two, not ${boundary}`);
}
