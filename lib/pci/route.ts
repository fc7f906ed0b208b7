import { commonBridge } from "./distance.js";
import type { PciFunction } from "./function.js";
import * as spec from "./spec.js";

/**
 * How a request travels from its initiator to a target's BAR at the target's bus address:
 * - `internal`: it never leaves the device;
 * - `direct`: a switch below the root hands it over, and no IOMMU sees it;
 * - `root`: it climbs to the root complex, and may come back down the same link;
 * - `unknown`: the ACS registers of a port on the way could not be read.
 */
export type Route = "internal" | "direct" | "root" | "unknown";

const REDIRECT = spec.PCI_ACS_RR | spec.PCI_ACS_CR | spec.PCI_ACS_EC;

/**
 * Routing below a switch is by address, unless a port redirects: P2P Request Redirect, Completion
 * Redirect or Egress Control on any function below the common bridge, the two ends included, since
 * functions of one device may redirect as well (PCIe 6.0 §6.12.1; the bits that p2pdma.c looks at).
 */
export function route(initiator: PciFunction, target: PciFunction): Route {
  if (initiator === target) return "internal";
  const { common, hopsA, hopsB } = commonBridge(initiator, target);
  if (!common) return "root";
  const below = [
    ...[initiator, ...initiator.upstream()].slice(0, hopsA),
    ...[target, ...target.upstream()].slice(0, hopsB),
  ];
  if (below.some((fn) => ((fn.acs?.control ?? 0) & REDIRECT) !== 0)) return "root";
  return below.some((fn) => fn.acs === undefined) ? "unknown" : "direct";
}
