import type { PciFunction } from "../../pci/function.js";
import { PCI_ACS_CR, PCI_ACS_EC, PCI_ACS_RR } from "../../pci/spec.js";
import type { Host } from "../host.js";
import { addKernelParameter } from "../iommu.js";
import { type Check, results } from "./check.js";

const REDIRECT = PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_EC;

/**
 * Which functions send peer-to-peer requests up to the root complex that could go straight through
 * a switch (PCIe 6.0 §6.12.1): those between two devices of VFIO's and the bridge that both are
 * below.
 */
export function checkAcs(host: Host): Check {
  const { pass, warn, skip } = results("acs");
  const owned = host.pci().functions.filter((fn) => fn.isOwnedByVfio);
  const between = owned.flatMap((fn) => belowCommonBridge(fn, owned));
  const ports = [...new Set(between)];
  if (ports.length === 0) return skip("no two devices that are bound to VFIO are below one switch");
  const redirecting = ports.filter((port) => ((port.acs?.control ?? 0) & REDIRECT) !== 0);
  if (redirecting.length > 0) {
    const addresses = redirecting.map(({ address }) => address);
    // In quotes, since boot loaders end a command at a semicolon.
    const parameter = `"pci=disable_acs_redir=${addresses.join(";")}"`;
    return warn(
      `${addresses.join(", ")} redirect peer-to-peer requests to the root complex`,
      `${addKernelParameter(parameter)}; their devices then share an IOMMU group`,
    );
  }
  return ports.some((port) => port.acs === undefined)
    ? skip("configuration space is cut short for users other than root", "run as root")
    : pass("no port between devices that are bound to VFIO redirects");
}

/** The function and the bridges above it that some other function is not below, if they meet. */
function belowCommonBridge(fn: PciFunction, others: readonly PciFunction[]): PciFunction[] {
  const chain = [fn, ...fn.upstream()];
  return others.flatMap((other) => {
    const common = chain.findIndex((bridge) => bridge !== fn && other.upstream().includes(bridge));
    return other === fn || common < 0 ? [] : chain.slice(0, common);
  });
}
