import type { Host } from "../../host/host.js";
import type { DriverReport } from "../report.js";

/**
 * The kernel's drivers of these names, each once, and what sysfs tells of their modules: those that are
 * built into the kernel may have none there, and few state a version (Documentation/ABI/stable/sysfs-module).
 */
export function describeDrivers(host: Host, names: Iterable<string>): DriverReport[] {
  return [...new Set(names)].sort().map((name) => {
    // A module's name has no dashes: vfio-pci is vfio_pci.
    const module = `/sys/module/${name.replaceAll("-", "_")}`;
    return {
      name,
      version: host.read(`${module}/version`),
      source_version: host.read(`${module}/srcversion`),
    };
  });
}
