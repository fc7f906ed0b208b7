import type { Host } from "./host.js";

const COMMAND_LINE =
  "the kernel command line (GRUB_CMDLINE_LINUX in /etc/default/grub, then update-grub) and reboot";

/** The IOMMU groups, by number. Those of no-IOMMU mode are none: nothing translates there. */
export function iommuGroups(host: Host): number[] {
  return host
    .list("/sys/kernel/iommu_groups")
    .map(Number)
    .filter((group) => !isNoIommuGroup(host, group))
    .sort((a, b) => a - b);
}

/** vfio_group_find_or_alloc() in linux/drivers/vfio/group.c makes such groups where there is no IOMMU. */
export function isNoIommuGroup(host: Host, group: number): boolean {
  return host.read(`/sys/kernel/iommu_groups/${group}/name`) === "vfio-noiommu";
}

/** The kernel command line's parameters that concern the IOMMU. */
export function iommuParameters(host: Host): string[] {
  return (host.read("/proc/cmdline") ?? "")
    .split(/\s+/)
    .filter((word) => /^(intel_|amd_)?iommu(\.\w+)?=/.test(word));
}

/**
 * How to switch the IOMMU on, for this processor: Intel's is off in most kernels until it is asked
 * for (CONFIG_INTEL_IOMMU_DEFAULT_ON), AMD's is on wherever the firmware has it
 * (Documentation/admin-guide/kernel-parameters.txt).
 */
export function switchIommuOn(host: Host): string {
  const off = iommuParameters(host).filter((word) => /=(.*,)?off\b/.test(word));
  if (off.length > 0) return `take ${off.join(" ")} off ${COMMAND_LINE}`;
  const isVirtual = /^flags\s*:.*\bhypervisor\b/m.test(host.read("/proc/cpuinfo") ?? "");
  const vendor = host.cpu()?.vendor;
  const name = { AuthenticAMD: "the IOMMU (AMD-Vi)", GenuineIntel: "VT-d" }[vendor ?? ""];
  const hardware = isVirtual
    ? "give this virtual machine an IOMMU, from outside"
    : `switch ${name ?? "the IOMMU"} on in the firmware setup`;
  const isAsked = iommuParameters(host).some((word) => /^intel_iommu=(.*,)?on\b/.test(word));
  return vendor !== "GenuineIntel" || isAsked
    ? hardware
    : `${hardware}, ${addKernelParameter("intel_iommu=on")}`;
}

/** How a kernel command line gets another parameter. */
export function addKernelParameter(parameter: string): string {
  return `add ${parameter} to ${COMMAND_LINE}`;
}
