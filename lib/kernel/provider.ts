/** Peer memory that kernel drivers offer to processes: a function's `p2pmem` folder in sysfs. */
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Host } from "../host/host.js";
import { pciPath } from "../host/host.js";
import { isBdf, parseBdf, type Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { kernelDistance } from "../pci/peer-path.js";
import type { PciTree } from "../pci/tree.js";
import { formatSize } from "../units.js";

/** The device that a plan names: `BDF`, or with the name that p2pmem has for the memory, `BDF/cmb`. */
export function parseKernelProvider(text: string): Bdf {
  const [device = "", memory = "cmb"] = text.trim().split("/");
  if (memory === "cmb" || memory === "p2pmem") return parseBdf(device);
  throw new P2pError("KERNEL_P2PMEM", `kernel drivers offer no ${memory} as p2pmem`, {
    ...(isBdf(device) ? { device } : {}),
    hint: "the nvme driver offers the CMBs of its controllers",
  });
}

/** The functions whose drivers have published memory. */
export function kernelProviders(host: Host, tree: PciTree): PciFunction[] {
  return tree.functions.filter(({ address }) => attribute(host, address, "published") === "1");
}

/**
 * The published memory that is closest to all clients, as pci_p2pmem_find_many() finds it, but for ties:
 * the first. Errors: KERNEL_P2PMEM.
 */
export function findKernelProvider(
  host: Host,
  tree: PciTree,
  clients: readonly PciFunction[],
): Bdf {
  const published = kernelProviders(host, tree);
  let best: { address: Bdf; distance: number } | null = null;
  for (const { address } of published) {
    const distance = kernelDistance(tree, tree.get(address), clients);
    if (distance === null || distance < 0) continue;
    if (best === null || distance < best.distance) best = { address, distance };
  }
  if (best !== null) return best.address;
  throw new P2pError(
    "KERNEL_P2PMEM",
    published.length === 0
      ? "no kernel driver has published p2pmem"
      : `the p2pmem of ${published.map(({ address }) => address).join(", ")} is not reached by all`,
    {
      hint: "p2pmem topology shows who reaches what; an NVMe controller with a CMB is to be bound to nvme",
    },
  );
}

/**
 * Names of what a benchmark calls `closest` or `all`, or of one that it names: of the published memory
 * that all clients reach, as the kernel's p2pdma has it. Errors: KERNEL_P2PMEM, BAD_ENDPOINT.
 */
export function kernelProviderNames(
  host: Host,
  tree: PciTree,
  clients: readonly PciFunction[],
  wanted: string,
): string[] {
  if (wanted !== "closest" && wanted !== "all") return [nameOf(tree, parseKernelProvider(wanted))];
  const closest = findKernelProvider(host, tree, clients);
  if (wanted === "closest") return [nameOf(tree, closest)];
  return kernelProviders(host, tree)
    .filter((fn) => (kernelDistance(tree, fn, clients) ?? -1) >= 0)
    .map(({ address }) => nameOf(tree, address));
}

/** What the nvme driver offers are CMBs. */
function nameOf(tree: PciTree, address: Bdf): string {
  return tree.has(address) && tree.get(address).isNvme ? `${address}/cmb` : address;
}

/** Errors: KERNEL_P2PMEM, with what is missing; NO_ROOM, PERMISSION, UNKNOWN_DEVICE. */
export function allocateFromKernel(
  host: Host,
  tree: PciTree,
  device: Bdf,
  size: number,
): NativeMemory {
  assertOffered(host, tree.get(device));
  const available = Number(attribute(host, device, "available"));
  if (size > available)
    throw new P2pError(
      "NO_ROOM",
      `${device} has ${formatSize(available)} of p2pmem left, too little for ${formatSize(size)}`,
      { device, hint: "use fewer or smaller blocks in flight" },
    );
  return addon().allocateKernelP2pmem(device, size);
}

/** Errors: KERNEL_P2PMEM, where a device's memory is none that a process gets. */
export function assertOffered(host: Host, { address }: PciFunction): void {
  const missing = (message: string, hint: string): P2pError =>
    new P2pError("KERNEL_P2PMEM", message, { device: address, hint });
  if (attribute(host, address, "size") === null) {
    const driver = host.linkName(pciPath(address, "driver"));
    throw missing(
      `the kernel has no p2pmem of ${address}`,
      driver === "nvme"
        ? "its controller has no CMB for data, or the kernel lacks CONFIG_PCI_P2PDMA"
        : `its driver is ${driver ?? "missing"}: bind it to nvme (p2pmem unbind), on a kernel with CONFIG_PCI_P2PDMA`,
    );
  }
  if (attribute(host, address, "published") !== "1")
    throw missing(
      `the p2pmem of ${address} is not published`,
      "its CMB may not hold data of reads and writes (CMBSZ)",
    );
  if (!host.exists(pciPath(address, "p2pmem/allocate")))
    throw missing(
      `this kernel gives no p2pmem of ${address} to processes`,
      `Linux 6.2 and later do (p2pmem/allocate in sysfs); this is ${host.kernelRelease}`,
    );
}

function attribute(host: Host, address: Bdf, name: string): string | null {
  return host.read(pciPath(address, "p2pmem", name));
}
