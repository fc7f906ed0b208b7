import type { PciFunction } from "./function.js";
import * as spec from "./spec.js";

/** The controls that send a peer-to-peer request upstream instead (PCIe 6.0 §6.12.1.1, §6.12.3). */
export const REDIRECTS_REQUESTS = spec.PCI_ACS_RR | spec.PCI_ACS_EC;
export const REDIRECTS_COMPLETIONS = spec.PCI_ACS_CR;
/** linux/drivers/pci/p2pdma.c, pci_bridge_has_acs_redir */
export const REDIRECTS = REDIRECTS_REQUESTS | REDIRECTS_COMPLETIONS;

/** Whether one of these ACS controls is on; undefined where the register could not be read. */
export function redirects({ acs }: PciFunction, controls: number): boolean | undefined {
  if (acs === undefined) return undefined;
  return acs !== null && (acs.control & controls) !== 0;
}

/** `0000:02:01.0 redirects requests (ACS Request Redirect)` */
export function redirectWords({ address, acs }: PciFunction, controls: number): string {
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

/** For a port whose ACS registers could not be read. */
export function unreadWords({ address }: PciFunction): string {
  return `whether ${address} redirects is not known: its configuration space was cut short (run as root)`;
}
