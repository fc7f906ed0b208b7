import { meeting, type Meeting } from "./distance.js";
import type { PciFunction } from "./function.js";
import {
  REDIRECTS_COMPLETIONS,
  REDIRECTS_REQUESTS,
  redirects,
  redirectWords,
  unreadWords,
} from "./redirect.js";

/**
 * How a packet travels between two functions, requests being addressed by the target's bus address:
 * - `internal`: it never leaves the device;
 * - `direct`: a switch below the root hands it over, and no IOMMU sees it;
 * - `root`: it climbs to the root complex, and may come back down the same link;
 * - `unknown`: the ACS registers of the port that decides could not be read.
 */
export type Route = "internal" | "direct" | "root" | "unknown";

/**
 * Of a request. Only where the two ways part can it go elsewhere than up: the port there through which
 * it comes hands it over, unless ACS Request Redirect or Egress Control sends it on upstream
 * (PCIe 6.0 §6.12.3). Ports further below have no choice, whatever they redirect.
 */
export function route(initiator: PciFunction, target: PciFunction): Route {
  const met = meeting(initiator, target);
  return routeAt(met, met.belowA, REDIRECTS_REQUESTS);
}

/** Of the completions of reads: ACS Completion Redirect at the port through which they come. */
export function completionRoute(initiator: PciFunction, target: PciFunction): Route {
  const met = meeting(initiator, target);
  return routeAt(met, met.belowB, REDIRECTS_COMPLETIONS);
}

/** Of what comes to the common bridge through `port`, which may redirect it by these ACS controls. */
export function routeAt(met: Meeting, port: PciFunction | null, controls: number): Route {
  if (met.hopsA === 0 && met.hopsB === 0) return "internal";
  if (met.common === null) return "root";
  // The end that is above the other hands over to the port below it.
  const redirected = port === null ? false : redirects(port, controls);
  return redirected === undefined ? "unknown" : redirected ? "root" : "direct";
}

/** Why: of requests from the initiator, the first of `met`, and of the completions back to it. */
export function routeWords(initiator: PciFunction, target: PciFunction): string {
  const met = meeting(initiator, target);
  if (initiator === target) return "a function reaches its own memory without leaving the device";
  if (met.common === null) return "no bridge is above both, so the root complex is between them";
  const words = [
    portWords(met.belowA, REDIRECTS_REQUESTS),
    portWords(met.belowB, REDIRECTS_COMPLETIONS),
  ].flat();
  if (words.length > 0) return [...new Set(words)].join("; ");
  return `${met.common.address} is above both, and neither way below it redirects`;
}

function portWords(port: PciFunction | null, controls: number): string[] {
  const redirected = port === null ? false : redirects(port, controls);
  if (port === null || redirected === false) return [];
  return [redirected ? redirectWords(port, controls) : unreadWords(port)];
}
