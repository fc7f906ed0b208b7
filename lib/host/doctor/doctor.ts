import { P2pError } from "../../errors.js";
import type { PciTree } from "../../pci/tree.js";
import { counted } from "../../units.js";
import type { Host } from "../host.js";
import { type Check, type CheckFunction, results } from "./check.js";
import { checkIommu, checkIommuGroups, checkIommuMode } from "./iommu.js";
import {
  checkDmaBufExport,
  checkIommufd,
  checkKernelLog,
  checkLockdown,
  checkP2pdma,
} from "./kernel.js";
import { checkHugepages, checkMemlock } from "./memory.js";
import { checkRdmaDevices, checkVerbs } from "./rdma.js";
import { checkAddon, checkNode } from "./software.js";
import { checkAcs } from "./topology.js";
import {
  checkDmaEntryLimit,
  checkInterruptRemapping,
  checkNoIommuMode,
  checkVfioContainer,
  checkVfioDevices,
  checkVfioModules,
} from "./vfio.js";

type HostCheck = (host: Host) => Check;

/** In the order in which a host is best mended. */
function checksOf(pci: PciTree | P2pError): readonly HostCheck[] {
  const onTree = (name: string, check: CheckFunction): HostCheck => {
    if (pci instanceof P2pError) return () => results(name).skip("the PCI functions are not known");
    return (host) => check(host, pci);
  };
  return [
    ...[checkNode, checkAddon, () => checkPci(pci)],
    ...[checkIommu, checkIommuMode, onTree("iommu-groups", checkIommuGroups)],
    ...[checkVfioModules, checkVfioContainer, onTree("vfio-devices", checkVfioDevices)],
    ...[checkNoIommuMode, checkInterruptRemapping, checkDmaEntryLimit],
    ...[checkMemlock, checkHugepages, onTree("acs", checkAcs)],
    ...[checkIommufd, checkDmaBufExport, checkP2pdma, checkKernelLog, checkLockdown],
    ...[checkVerbs, checkRdmaDevices],
  ];
}

/** What of this host stands in the way of peer-to-peer copies over VFIO. Changes nothing. */
export function examine(host: Host): Check[] {
  return checksOf(readPci(host)).map((check) => check(host));
}

/** One function that cannot be read is no reason to say nothing of the rest. */
function readPci(host: Host): PciTree | P2pError {
  try {
    return host.pci();
  } catch (error) {
    if (error instanceof P2pError) return error;
    throw error;
  }
}

function checkPci(pci: PciTree | P2pError): Check {
  const { pass, fail } = results("pci");
  return pci instanceof P2pError
    ? fail(pci.message, pci.hint ?? "lspci -D shows what the kernel sees")
    : pass(counted(pci.functions.length, "function"));
}
