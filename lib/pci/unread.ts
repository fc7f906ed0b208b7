import type { PciFunction } from "./function.js";
import * as spec from "./spec.js";

/** Why registers of a function beyond its header are not known, and what helps. */
export function unreadCause({ answers, configSize }: PciFunction): string {
  if (!answers) return "it does not answer";
  if (configSize < spec.PCI_CONFIG_BYTES)
    return "its configuration space was cut short (run as root)";
  return configSize === spec.PCI_CONFIG_BYTES
    ? "its extended configuration space is out of reach here (no MMCONFIG)"
    : "its extended configuration space does not answer";
}
