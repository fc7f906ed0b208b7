import { readFileSync, readdirSync, readlinkSync, realpathSync } from "node:fs";
import { basename, dirname, join, sep } from "node:path";
import { P2pError } from "../errors.js";
import { isBdf } from "../pci/bdf.js";
import type { CpuIdentity, RawLink, RawPciFunction, RawTopology } from "../platform.js";

const HOST_BRIDGE = /^pci[0-9a-f]{4,8}:[0-9a-f]{2}$/;
/** Configuration space, from what everyone may read to all there is (PCIe 6.0 §7.2). */
const CONFIG_BYTES = { least: 64, most: 4096 };
/** What a file of a function says that is no longer there. */
const VANISHED = new Set(["ENOENT", "ENODEV", "ENXIO"]);

/**
 * The processor and the PCI functions that the kernel shows (Documentation/ABI/testing/sysfs-bus-pci,
 * sysfs-kernel-iommu_groups). `root` is where `sys` and `proc` are. A function that vanishes while it
 * is read is left out, and all that hangs from it. Errors: BAD_SYSFS, BAD_TOPOLOGY.
 */
export function readTopology(root = "/"): RawTopology {
  const functions = listFunctions(root).flatMap((name) => {
    try {
      return [readFunction(root, name)];
    } catch (error) {
      const { cause } = error as P2pError;
      if (VANISHED.has((cause as NodeJS.ErrnoException | undefined)?.code ?? "")) return [];
      throw error;
    }
  });
  return { functions: withoutOrphans(functions), cpu: readCpu(root) };
}

/** Where the kernel lists its PCI functions: links to their directories. */
export function functionList(root: string): string {
  return join(root, "sys/bus/pci/devices");
}

/** In the order of their names; none where there is no PCI bus, as in some containers. */
export function listFunctions(root: string): string[] {
  try {
    return readdirSync(functionList(root)).sort();
  } catch (error) {
    if (VANISHED.has((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw unreadable(functionList(root), error);
  }
}

/**
 * The PCI function that an RDMA device is of (Documentation/ABI/stable/sysfs-class-infiniband); null: of
 * none, as with soft-RoCE.
 */
export function readRdmaAddress(name: string, root = "/"): string | null {
  try {
    const parent = basename(
      realpathSync.native(join(root, "sys/class/infiniband", name, "device")),
    );
    return isBdf(parent) ? parent : null;
  } catch {
    return null;
  }
}

/** `6.12.41-amd64`; null: not known. */
export function readKernelRelease(root = "/"): string | null {
  return readOptional(join(root, "proc/sys/kernel/osrelease"));
}

/** Errors: BAD_SYSFS, with the system call's error as its cause, if it was one; BAD_TOPOLOGY. */
export function readFunction(root: string, address: string): RawPciFunction {
  const link = join(functionList(root), address);
  if (!isBdf(address)) throw badFile(link, "is not named like a PCI function");
  const folder = resolveFunction(root, link);
  const above = dirname(folder);
  const group = linkName(join(folder, "iommu_group"), (name) => /^\d+$/.test(name));
  return {
    address,
    parent: isBdf(basename(above)) ? basename(above) : null,
    ...readHostBridge(above),
    vendorId: readId(join(folder, "vendor")),
    deviceId: readId(join(folder, "device")),
    config: readConfig(join(folder, "config")),
    resources: readResources(join(folder, "resource")),
    driver: linkName(join(folder, "driver"), () => true),
    iommuGroup: group === null ? null : Number(group),
    iommuDomainType: readOptional(join(folder, "iommu_group/type")),
    numaNode: readNumaNode(join(folder, "numa_node")),
    physicalFunction: linkName(join(folder, "physfn"), isBdf),
    link: readLink(folder),
  };
}

/** The function's own directory, whose place in the tree says what it hangs from. */
function resolveFunction(root: string, link: string): string {
  let folder: string;
  try {
    folder = realpathSync.native(link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ELOOP")
      throw badTopology(link, "is a symbolic link that leads to itself");
    throw unreadable(link, error);
  }
  const devices = join(realpathSync.native(root), "sys/devices") + sep;
  // Anything else would be another function, or, in a capture, this machine instead of that one.
  if (basename(folder) !== basename(link) || !folder.startsWith(devices))
    throw badTopology(link, `leads to ${folder}, which is not that function's directory`);
  return folder;
}

/** The nearest host bridge on the way up, and the function that it is part of, if any (VMD). */
function readHostBridge(above: string): Pick<RawPciFunction, "hostBridge" | "hostBridgeParent"> {
  let at = above;
  while (!HOST_BRIDGE.test(basename(at))) {
    if (at === dirname(at)) throw badTopology(above, "is below no host bridge (pciDDDD:BB)");
    at = dirname(at);
  }
  const within = basename(dirname(at));
  return { hostBridge: basename(at), hostBridgeParent: isBdf(within) ? within : null };
}

function readConfig(file: string): Uint8Array {
  const config = readBytes(file);
  if (config.length < CONFIG_BYTES.least || config.length > CONFIG_BYTES.most)
    throw badFile(
      file,
      `has ${config.length} bytes; configuration space has ${CONFIG_BYTES.least} to ${CONFIG_BYTES.most}`,
    );
  return config;
}

/** One line for each resource: first address, last address, flags. */
function readResources(file: string): RawPciFunction["resources"] {
  const lines = readBytes(file).toString().trimEnd().split("\n");
  return lines.map((line, index) => {
    if (!/^0x[0-9a-f]{1,16} 0x[0-9a-f]{1,16} 0x[0-9a-f]{1,16}$/.test(line))
      throw badFile(file, `line ${index + 1} is not three numbers`);
    const [start, end, flags] = line.split(" ").map(BigInt) as [bigint, bigint, bigint];
    return { start, size: end > start ? end - start + 1n : 0n, flags };
  });
}

function readId(file: string): number {
  const text = readBytes(file).toString().trim();
  if (!/^0x[0-9a-f]{4}$/.test(text)) throw badFile(file, "is not a number like 0x8086");
  return Number(text);
}

/** -1 in sysfs means that the firmware did not say; kernels without NUMA have no such file. */
function readNumaNode(file: string): number | null {
  const text = readOptional(file);
  if (text === null || text === "-1") return null;
  if (!/^\d+$/.test(text)) throw badFile(file, "is not the number of a node");
  return Number(text);
}

/** Files that only functions with such registers have. */
function readLink(folder: string): RawLink | null {
  const speed = (name: string): number | null => {
    const value = Number.parseFloat(readOptional(join(folder, name)) ?? "");
    return value > 0 ? value : null; // "Unknown" where the registers say nothing
  };
  const width = (name: string): number | null => {
    const lanes = Number(readOptional(join(folder, name)) ?? 0);
    return lanes > 0 && lanes <= 32 ? lanes : null; // 63 and 255: nobody answers
  };
  const link = {
    speed: speed("current_link_speed"),
    width: width("current_link_width"),
    maxSpeed: speed("max_link_speed"),
    maxWidth: width("max_link_width"),
  };
  return Object.values(link).every((value) => value === null) ? null : link;
}

/** The first processor's; they are all alike where PCI matters. Null where it cannot be read. */
export function readCpu(root: string): CpuIdentity | null {
  const text = readOptional(join(root, "proc/cpuinfo")) ?? "";
  if (text === "") return null;
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1]?.trim();
  return {
    // Other architectures have other fields, of which ARM's names its maker; none has x86's families.
    vendor: field("vendor_id") ?? field("CPU implementer") ?? "not x86",
    family: Number(field("cpu family") ?? 0) || 0,
    model: field("model name") ?? "",
  };
}

/** Without what hangs from a function that has vanished meanwhile. */
function withoutOrphans(functions: RawPciFunction[]): RawPciFunction[] {
  const present = new Set(functions.map(({ address }) => address));
  const kept = functions.filter((fn) =>
    [fn.parent, fn.hostBridgeParent, fn.physicalFunction].every(
      (needed) => needed === null || present.has(needed),
    ),
  );
  return kept.length === functions.length ? kept : withoutOrphans(kept);
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** Null where it cannot be read: some registers are not there, or do not answer. */
function readOptional(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return null;
  }
}

/** Null where there is no such link. */
function linkName(path: string, isName: (name: string) => boolean): string | null {
  let name: string;
  try {
    name = basename(readlinkSync(path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return null;
    if (code === "EINVAL") throw badFile(path, "is not a symbolic link");
    throw unreadable(path, error);
  }
  if (!isName(name)) throw badFile(path, `leads to "${name}", which is no name for it`);
  return name;
}

function unreadable(file: string, cause: unknown): P2pError {
  const { errno, syscall, code = String(cause) } = cause as NodeJS.ErrnoException;
  return new P2pError("BAD_SYSFS", `${file} cannot be read: ${code}`, {
    ...(errno === undefined ? {} : { errno: -errno }),
    ...(syscall === undefined ? {} : { syscall }),
    hint: "everyone can read it where sysfs is mounted as usual",
    cause,
  });
}

function badFile(file: string, problem: string): P2pError {
  return new P2pError("BAD_SYSFS", `${file} ${problem}`, {
    hint: "the kernel writes no such thing; check what is mounted at /sys",
  });
}

function badTopology(path: string, problem: string): P2pError {
  return new P2pError("BAD_TOPOLOGY", `${path} ${problem}`, {
    hint: "capture the topology again, and unpack it with its symbolic links",
  });
}
