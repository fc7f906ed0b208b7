import { readFileSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { CpuIdentity, RawLink, RawPciFunction, RawTopology } from "../platform.js";

const BDF = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;
const HOST_BRIDGE = /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/;

/**
 * The processor and the PCI functions that the kernel shows (Documentation/ABI/testing/sysfs-bus-pci,
 * sysfs-kernel-iommu_groups). `root` is where `sys` and `proc` are: of this machine, or of a capture
 * of another. A function that vanishes while it is read is left out.
 */
export function readTopology(root = "/"): RawTopology {
  const devices = join(root, "sys/bus/pci/devices");
  let names: string[];
  try {
    names = readdirSync(devices).sort();
  } catch {
    names = []; // no PCI bus, as in some containers
  }
  const functions = names.flatMap((name) => {
    try {
      return [readFunction(join(devices, name), name)];
    } catch {
      return [];
    }
  });
  return { functions, cpu: readCpu(join(root, "proc/cpuinfo")) };
}

function readFunction(folder: string, address: string): RawPciFunction {
  const above = dirname(realpathSync(folder));
  const group = linkName(join(folder, "iommu_group"));
  return {
    address,
    parent: BDF.test(basename(above)) ? basename(above) : null,
    ...readHostBridge(above),
    vendorId: Number(readFileSync(join(folder, "vendor"), "utf8")),
    deviceId: Number(readFileSync(join(folder, "device"), "utf8")),
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
    iommuDomainType: readText(join(folder, "iommu_group/type")),
    numaNode: readNumaNode(join(folder, "numa_node")),
    physicalFunction: linkName(join(folder, "physfn")),
    link: readLink(folder),
  };
}

/** The nearest host bridge on the way up, and the function that it is part of, if any (VMD). */
function readHostBridge(above: string): Pick<RawPciFunction, "hostBridge" | "hostBridgeParent"> {
  let at = above;
  while (!HOST_BRIDGE.test(basename(at))) {
    if (at === dirname(at)) return { hostBridge: "unknown", hostBridgeParent: null };
    at = dirname(at);
  }
  const within = basename(dirname(at));
  return { hostBridge: basename(at), hostBridgeParent: BDF.test(within) ? within : null };
}

/** Files that only functions with such registers have. */
function readLink(folder: string): RawLink | null {
  const speed = (name: string): number | null => {
    const value = Number.parseFloat(readText(join(folder, name)) ?? "");
    return value > 0 ? value : null; // "Unknown" where the registers say nothing
  };
  const width = (name: string): number | null => {
    const lanes = Number(readText(join(folder, name)) ?? 0);
    return lanes > 0 && lanes < 64 ? lanes : null; // 255: nobody answers
  };
  const link = {
    speed: speed("current_link_speed"),
    width: width("current_link_width"),
    maxSpeed: speed("max_link_speed"),
    maxWidth: width("max_link_width"),
  };
  return Object.values(link).every((value) => value === null) ? null : link;
}

/** The first processor's; they are all alike where PCI matters. */
function readCpu(file: string): CpuIdentity | null {
  const text = readText(file) ?? "";
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1]?.trim();
  const [vendor, family] = [field("vendor_id"), field("cpu family")];
  if (vendor === undefined || family === undefined) return null;
  return { vendor, family: Number(family), model: field("model name") ?? "" };
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return null;
  }
}

function linkName(path: string): string | null {
  try {
    return basename(readlinkSync(path));
  } catch {
    return null;
  }
}

/** -1 in sysfs means that the firmware did not say; kernels without NUMA have no such file. */
function readNumaNode(path: string): number | null {
  const text = readText(path);
  return text === null || Number(text) < 0 ? null : Number(text);
}
