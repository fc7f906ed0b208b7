import type { ConfigSpace } from "./config-space.js";
import * as spec from "./spec.js";

/** Access Control Services of a function (PCIe 6.0 §7.7.11). */
export interface Acs {
  /** What it can control: ACS Capability register. */
  readonly capability: number;
  /** What is on: ACS Control register. */
  readonly control: number;
  /** Egress Control Vector, as many of its 32-bit words as could be read; none without that control. */
  readonly egressVector: readonly number[];
}

/** Null where there is no ACS capability; undefined where too little could be read to say. */
export function readAcs(config: ConfigSpace): Acs | null | undefined {
  const at = config.extendedCapability(spec.PCI_EXT_CAP_ID_ACS);
  if (at === null || at === undefined) return at;
  const capability = config.read16(at + spec.PCI_ACS_CAP);
  const control = config.read16(at + spec.PCI_ACS_CTRL);
  if (capability === undefined || control === undefined) return undefined;
  return { capability, control, egressVector: readEgressVector(config, at, capability) };
}

/**
 * The bit of the Egress Control Vector for a port or function by its number (§7.7.11.4); undefined
 * where the vector has none.
 */
export function egressBit({ capability, egressVector }: Acs, number: number): boolean | undefined {
  const word = number < egressVectorBits(capability) ? egressVector[number >> 5] : undefined;
  return word === undefined ? undefined : ((word >>> (number & 31)) & 1) === 1;
}

function readEgressVector(config: ConfigSpace, at: number, capability: number): number[] {
  const words: number[] = [];
  if ((capability & spec.PCI_ACS_EC) === 0) return words;
  const count = Math.ceil(egressVectorBits(capability) / 32);
  for (let index = 0; index < count; index++) {
    const word = config.read32(at + spec.PCI_ACS_EGRESS_CTL_V + 4 * index);
    if (word === undefined) break;
    words.push(word);
  }
  return words;
}

function egressVectorBits(capability: number): number {
  return capability >> spec.PCI_ACS_EGRESS_BITS_SHIFT || spec.PCI_ACS_EGRESS_BITS_MOST;
}
