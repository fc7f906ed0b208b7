import { meeting } from "../../pci/distance.js";
import type { PciFunction } from "../../pci/function.js";
import { REDIRECTS, redirects } from "../../pci/redirect.js";
import type { PciTree } from "../../pci/tree.js";
import type { Host } from "../host.js";
import { addKernelParameter } from "../iommu.js";
import { type Check, results } from "./check.js";

/**
 * Which functions send peer-to-peer requests up to the root complex that could go straight through
 * a switch (PCIe 6.0 §6.12.1): those between two devices of VFIO's and the bridge that both are
 * below.
 */
export function checkAcs(host: Host, pci: PciTree): Check {
  const { pass, warn, skip } = results("acs");
  const owned = pci.functions.filter((fn) => fn.isOwnedByVfio);
  const between = owned.flatMap((fn) => belowCommonBridge(fn, owned));
  const ports = [...new Set(between)];
  if (ports.length === 0) return skip("no two devices that are bound to VFIO are below one switch");
  const redirecting = ports.filter((port) => redirects(port, REDIRECTS) === true);
  if (redirecting.length > 0) {
    const addresses = redirecting.map(({ address }) => address);
    // In quotes, since boot loaders end a command at a semicolon.
    const parameter = `"pci=disable_acs_redir=${addresses.join(";")}"`;
    return warn(
      `${addresses.join(", ")} redirect peer-to-peer requests to the root complex`,
      `${addKernelParameter(parameter)}; their devices then share an IOMMU group`,
    );
  }
  const unread = ports.filter((port) => redirects(port, REDIRECTS) === undefined);
  if (unread.length === 0) return pass("no port between devices that are bound to VFIO redirects");
  const addresses = unread.map(({ address }) => address).join(", ");
  return host.uid === 0
    ? skip(`the machine gives no extended configuration space of ${addresses}`)
    : skip(
        `configuration space is cut short for users other than root: ${addresses}`,
        "run as root",
      );
}

/** The function and the bridges above it that some other function is not below, if they meet. */
function belowCommonBridge(fn: PciFunction, others: readonly PciFunction[]): PciFunction[] {
  const chain = [fn, ...fn.upstream()];
  return others.flatMap((other) => {
    const { common, hopsA } = meeting(fn, other);
    return common === null ? [] : chain.slice(0, hopsA);
  });
}
