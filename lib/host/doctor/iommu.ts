import type { PciFunction } from "../../pci/function.js";
import type { PciTree } from "../../pci/tree.js";
import { counted } from "../../units.js";
import type { Host } from "../host.js";
import { iommuGroups, iommuParameters, switchIommuOn } from "../iommu.js";
import { isBridge, keepsGroupFromVfio } from "../viability.js";
import { type Check, results } from "./check.js";

export function checkIommu(host: Host): Check {
  const { pass, fail } = results("iommu");
  const units = host.list("/sys/class/iommu");
  const groups = iommuGroups(host);
  const parameters = iommuParameters(host).join(" ") || "no iommu parameter";
  const evidence = [
    units.length > 0 ? units.join(", ") : "nothing in /sys/class/iommu",
    counted(groups.length, "group"),
    `kernel command line: ${parameters}`,
  ].join("; ");
  return groups.length > 0 ? pass(evidence) : fail(evidence, switchIommuOn(host));
}

/** Kernel p2pdma behind a translating IOMMU moves no data; VFIO has domains of its own. */
export function checkIommuMode(host: Host): Check {
  const { pass, skip } = results("iommu-mode");
  const types = iommuGroups(host).map(
    (group) => host.read(`/sys/kernel/iommu_groups/${group}/type`) ?? "unknown",
  );
  if (types.length === 0) return skip("no IOMMU groups");
  const passthrough = types.filter((type) => type === "identity").length;
  const mode =
    passthrough === 0
      ? "translated"
      : passthrough === types.length
        ? "passthrough"
        : `passthrough for ${passthrough} of ${counted(types.length, "group")}`;
  const names = [...new Set(types)].join(", ");
  return pass(`${mode} (${names}); either is right for VFIO`);
}

export function checkIommuGroups(host: Host, { functions }: PciTree): Check {
  const { pass, fail, skip } = results("iommu-groups");
  const groups = iommuGroups(host);
  if (groups.length === 0) return skip("no IOMMU groups");
  const shared = groups.flatMap((group) => {
    const endpoints = functions.filter((fn) => fn.iommuGroup === group && !isBridge(fn));
    return endpoints.length > 1 ? [{ group, endpoints }] : [];
  });
  const names = shared.map(
    ({ group, endpoints }) => `${group} (${endpoints.map(({ address }) => address).join(", ")})`,
  );
  const evidence =
    names.length === 0
      ? `${counted(groups.length, "group")}, none with several endpoints`
      : `${counted(groups.length, "group")}; with several endpoints: ${names.join(", ")}`;
  const blocked = functions.filter((fn) => fn.isOwnedByVfio && isBlocked(fn, functions));
  if (blocked.length === 0) return pass(evidence);
  const addresses = blocked.map(({ address }) => address).join(" ");
  return fail(
    `${evidence}; not usable, since other drivers have part of the group: ${addresses}`,
    `sudo p2pmem bind --group ${addresses}`,
  );
}

function isBlocked(fn: PciFunction, functions: readonly PciFunction[]): boolean {
  return functions.some((other) => other.iommuGroup === fn.iommuGroup && keepsGroupFromVfio(other));
}
