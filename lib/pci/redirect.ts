import type { PciFunction } from "./function.js";
import * as spec from "./spec.js";
import { unreadCause } from "./unread.js";

const REDIRECTS_REQUESTS = spec.PCI_ACS_RR | spec.PCI_ACS_EC;
const REDIRECTS_COMPLETIONS = spec.PCI_ACS_CR;
/** What the kernel takes for redirect, whatever the Egress Control Vector has (pci_bridge_has_acs_redir). */
export const REDIRECTS = REDIRECTS_REQUESTS | REDIRECTS_COMPLETIONS;

/** Whether one of these ACS controls is on; undefined where the register could not be read. */
export function redirects({ acs }: PciFunction, controls: number): boolean | undefined {
  if (acs === undefined) return undefined;
  return acs !== null && (acs.control & controls) !== 0;
}

/**
 * Whether the kernel takes a function for one that redirects (linux/drivers/pci/p2pdma.c,
 * pci_bridge_has_acs_redir); undefined where the register could not be read. What root reads of
 * configuration space is all that the kernel has of it: without extended space it finds no ACS.
 */
export function kernelRedirects(fn: PciFunction): boolean | undefined {
  return fn.configSize === spec.PCI_CONFIG_BYTES ? false : redirects(fn, REDIRECTS);
}

/** `0000:02:01.0 redirects requests (ACS Request Redirect)`; `controls`: of those that are on. */
export function redirectWords({ address, acs }: PciFunction, controls = REDIRECTS): string {
  const on = (acs?.control ?? 0) & controls;
  const names = [
    on & spec.PCI_ACS_RR ? "Request Redirect" : [],
    on & spec.PCI_ACS_CR ? "Completion Redirect" : [],
    on & spec.PCI_ACS_EC ? "Egress Control" : [],
  ].flat();
  const what = [
    on & REDIRECTS_REQUESTS ? "requests" : [],
    on & REDIRECTS_COMPLETIONS ? "completions" : [],
  ].flat();
  return `${address} redirects ${what.join(" and ")} (ACS ${names.join(", ")})`;
}

/** For a function whose ACS registers could not be read. */
export function unreadWords(fn: PciFunction): string {
  return `whether ${fn.address} redirects is not known: ${unreadCause(fn)}`;
}
