import { readFileSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { RawPciFunction } from "../addon.js";

const BDF = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/**
 * The PCI functions that the kernel shows (Documentation/ABI/testing/sysfs-bus-pci). `root` is
 * where sysfs is mounted. A function that vanishes while it is read is left out.
 */
export function readSysfs(root = "/sys"): RawPciFunction[] {
  const devices = join(root, "bus/pci/devices");
  let names: string[];
  try {
    names = readdirSync(devices).sort();
  } catch {
    return []; // no PCI bus, as in some containers
  }
  return names.flatMap((name) => {
    try {
      return [readFunction(join(devices, name), name)];
    } catch {
      return [];
    }
  });
}

function readFunction(folder: string, address: string): RawPciFunction {
  const parent = basename(dirname(realpathSync(folder)));
  const group = linkName(join(folder, "iommu_group"));
  return {
    address,
    parent: BDF.test(parent) ? parent : null,
    config: readFileSync(join(folder, "config")),
    resources: readFileSync(join(folder, "resource"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => {
        const [start = 0n, end = 0n, flags = 0n] = line.split(" ").map(BigInt);
        return { start, size: end > start ? end - start + 1n : 0n, flags };
      }),
    driver: linkName(join(folder, "driver")),
    iommuGroup: group === null ? null : Number(group),
    numaNode: readNumaNode(join(folder, "numa_node")),
  };
}

function linkName(path: string): string | null {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
}

/** -1 in sysfs means that the firmware did not say. */
function readNumaNode(path: string): number | null {
  try {
    const node = Number(readFileSync(path, "utf8"));
    return node >= 0 ? node : null;
  } catch {
    return null; // kernels without NUMA have no such file
  }
}
