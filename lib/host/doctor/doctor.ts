import type { Host } from "../host.js";
import type { Check, CheckFunction } from "./check.js";
import { checkIommu, checkIommuGroups, checkIommuMode } from "./iommu.js";
import {
  checkDmaBufExport,
  checkIommufd,
  checkKernelLog,
  checkLockdown,
  checkP2pdma,
} from "./kernel.js";
import { checkHugepages, checkMemlock } from "./memory.js";
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

/** In the order in which a host is best mended. */
const CHECKS: readonly CheckFunction[] = [
  ...[checkNode, checkAddon],
  ...[checkIommu, checkIommuMode, checkIommuGroups],
  ...[checkVfioModules, checkVfioContainer, checkVfioDevices, checkNoIommuMode],
  ...[checkInterruptRemapping, checkDmaEntryLimit],
  ...[checkMemlock, checkHugepages],
  ...[checkAcs, checkIommufd, checkDmaBufExport, checkP2pdma, checkKernelLog, checkLockdown],
];

/** What of this host stands in the way of peer-to-peer copies over VFIO. Changes nothing. */
export function examine(host: Host): Check[] {
  return CHECKS.map((check) => check(host));
}
