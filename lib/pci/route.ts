import { egressBit, type Acs } from "./acs.js";
import { meeting, type Meeting } from "./distance.js";
import type { PciFunction } from "./function.js";
import { redirectWords, unreadWords } from "./redirect.js";
import * as spec from "./spec.js";

/**
 * How a packet travels between two functions, requests being addressed by the target's bus address:
 * - `internal`: it never leaves the function;
 * - `direct`: a switch below the root, or their device, hands it over, and no IOMMU sees it;
 * - `unstated`: their device hands it over, or else sends it up its link: no ACS of its says which;
 * - `root`: it climbs to the root complex, and may come back down the same link;
 * - `blocked`: ACS Egress Control drops it: an ACS Violation;
 * - `unknown`: the ACS registers of the port that decides could not be read.
 */
export type Route = "internal" | "direct" | "unstated" | "root" | "blocked" | "unknown";

/**
 * Of a request. Only where the two ways part can it go elsewhere than up: the port there through which
 * it comes hands it over, unless its ACS has it otherwise (PCIe 6.0 §6.12.3). Ports further below have
 * no choice, whatever they redirect.
 */
export function route(initiator: PciFunction, target: PciFunction): Route {
  return requestRouteAt(meeting(initiator, target));
}

/**
 * Of the completions of reads: ACS Completion Redirect at the port through which they come. It spares
 * those of reads that are marked as Relaxed Ordering (PCIe 6.0 §7.7.11.3), which these are taken not to
 * be.
 */
export function completionRoute(initiator: PciFunction, target: PciFunction): Route {
  return completionRouteAt(meeting(initiator, target));
}

/** Of requests from the first of `met` to the second. */
export function requestRouteAt(met: Meeting): Route {
  return routeAt(met, met.belowA, requestHandling, spec.PCI_ACS_RR);
}

/** Of completions from the second of `met` to the first. */
export function completionRouteAt(met: Meeting): Route {
  return routeAt(met, met.belowB, completionHandling, spec.PCI_ACS_CR);
}

/** What a port does with what comes through it to where the ways part. */
type Handling = (acs: Acs, ingress: PciFunction, met: Meeting) => Route;

function routeAt(
  met: Meeting,
  ingress: PciFunction | null,
  handling: Handling,
  redirect: number,
): Route {
  if (met.hopsA === 0 && met.hopsB === 0) return "internal";
  if (met.common === null) return "root";
  // The end that is above the other hands over to the port below it.
  if (ingress === null) return "direct";
  const { acs } = ingress;
  if (acs === undefined) return "unknown";
  const found = acs === null ? "direct" : handling(acs, ingress, met);
  const isStated = !partWithinDevice(met) || ((acs?.capability ?? 0) & redirect) !== 0;
  return found === "direct" && !isStated ? "unstated" : found;
}

/**
 * Request Redirect and Egress Control together (PCIe 6.0 §6.12.3): where the vector spares the peer,
 * the request goes straight there even with redirect on. An end above the other is no peer.
 */
function requestHandling(acs: Acs, ingress: PciFunction, met: Meeting): Route {
  const isRedirected = (acs.control & spec.PCI_ACS_RR) !== 0;
  if ((acs.control & spec.PCI_ACS_EC) === 0 || met.belowB === null)
    return isRedirected ? "root" : "direct";
  const number = partWithinDevice(met)
    ? functionNumber(ingress, met.belowB)
    : met.belowB.express?.portNumber;
  const isControlled = typeof number === "number" ? egressBit(acs, number) : undefined;
  if (isControlled === undefined) return "unknown";
  if (!isControlled) return "direct";
  return isRedirected ? "root" : "blocked";
}

/** Egress Control leaves completions alone (PCIe 6.0 §6.12.1.1). */
function completionHandling({ control }: Acs): Route {
  return (control & spec.PCI_ACS_CR) !== 0 ? "root" : "direct";
}

/**
 * What is below a link is one device. That its functions reach each other inside is said only by their
 * having ACS P2P controls (PCIe 6.0 §6.12.1.2).
 */
function partWithinDevice({ common, belowA, belowB }: Meeting): boolean {
  const type = common?.express?.portType;
  return belowA !== null && belowB !== null && (type === "root-port" || type === "downstream-port");
}

/** By which the vector knows a function beside the ingress (§7.7.11.4): with ARI it has eight bits. */
function functionNumber(
  { address: ingress }: PciFunction,
  { address }: PciFunction,
): number | null {
  const bus = address.slice(0, address.lastIndexOf(":"));
  if (!ingress.startsWith(`${bus}:`)) return null;
  const [device = "", fn = ""] = address.slice(bus.length + 1).split(".");
  return parseInt(device, 16) * 8 + Number(fn);
}

/** Why: of requests from the initiator, the first of `met`, and of the completions back to it. */
export function routeWords(initiator: PciFunction, target: PciFunction): string {
  const met = meeting(initiator, target);
  if (initiator === target) return "a function reaches its own memory without leaving the device";
  if (met.common === null) return "no bridge is above both, so the root complex is between them";
  const words = [requestWords(met), completionWords(met)].flat();
  if (words.length > 0) return [...new Set(words)].join("; ");
  return `${met.common.address} is above both, and neither way below it redirects`;
}

function requestWords(met: Meeting): string[] {
  const ingress = met.belowA;
  if (ingress === null) return [];
  const egress = met.belowB?.address ?? "";
  switch (requestRouteAt(met)) {
    case "root":
      return [redirectWords(ingress, spec.PCI_ACS_RR | spec.PCI_ACS_EC)];
    case "blocked":
      return [`${ingress.address} blocks requests to ${egress} (ACS Egress Control)`];
    case "unknown":
      return [
        ingress.acs === undefined
          ? unreadWords(ingress)
          : `whether ACS Egress Control of ${ingress.address} holds for ${egress} is not known`,
      ];
    case "unstated":
      return [unstatedWords(met)];
    default:
      return [];
  }
}

function completionWords(met: Meeting): string[] {
  const ingress = met.belowB;
  if (ingress === null) return [];
  switch (completionRouteAt(met)) {
    case "root":
      return [
        `${redirectWords(ingress, spec.PCI_ACS_CR)} unless the client marks its reads as Relaxed Ordering`,
      ];
    case "unknown":
      return [unreadWords(ingress)];
    case "unstated":
      return [unstatedWords(met)];
    default:
      return [];
  }
}

function unstatedWords({ belowA, belowB }: Meeting): string {
  const [a = "", b = ""] = [belowA?.address, belowB?.address];
  return `${a} and ${b} are of one device, and no ACS redirect of theirs says that it hands packets over`;
}
