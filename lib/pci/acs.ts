import type { ConfigSpace } from "./config-space.js";
import * as spec from "./spec.js";

/** Access Control Services of a function (PCIe 6.0 §7.7.11). */
export interface Acs {
  /** What it can control: ACS Capability register. */
  readonly capability: number;
  /** What is on: ACS Control register. */
  readonly control: number;
}

/** Null where there is no ACS capability; undefined where too little could be read to say. */
export function readAcs(config: ConfigSpace): Acs | null | undefined {
  const at = config.extendedCapability(spec.PCI_EXT_CAP_ID_ACS);
  if (at === null || at === undefined) return at;
  const capability = config.read16(at + spec.PCI_ACS_CAP);
  const control = config.read16(at + spec.PCI_ACS_CTRL);
  return capability === undefined || control === undefined ? undefined : { capability, control };
}
