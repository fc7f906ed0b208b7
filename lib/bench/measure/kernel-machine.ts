/** The devices of the kernel's paths, which are this machine's whatever the session's are. */
import { devicesOf } from "../../host/kernel-devices.js";
import { Host } from "../../host/host.js";
import { parseKernelProvider } from "../../kernel/provider.js";
import { kernelClients } from "../../kernel/target.js";
import type { PciFunction } from "../../pci/function.js";
import type { PciTree } from "../../pci/tree.js";
import { isKernelPath, type BenchPoint } from "../point.js";
import type { DeviceReport, MachineReport, PathReport } from "../report.js";
import { describePath, deviceReport, idsOf, iommuOf, onTheWay, type Role } from "./machine.js";

/** What the points of the kernel's paths have of this machine. */
interface KernelParts {
  /** In the order of points, the first role of each. */
  roles: Map<PciFunction, Role>;
  /** The files by which points name what is on a device: `/dev/nvme0n1`. */
  files: Map<PciFunction, Set<string>>;
  paths: Map<string, PathReport>;
}

/**
 * The machine with what the points of the kernel's paths use of it. On the loopback machine, whose devices
 * have addresses of their own, one of this machine's with an address that is there already is left out.
 */
export function withKernelDevices(
  machine: MachineReport,
  points: readonly BenchPoint[],
  host = new Host(),
): MachineReport {
  const kernel = points.filter(({ path }) => isKernelPath(path));
  if (kernel.length === 0) return machine;
  const tree = host.pci();
  const { roles, files, paths } = partsOf(host, tree, kernel);
  const devices = onTheWay(tree, [...roles.keys()]).map((fn): DeviceReport => {
    const named = files.get(fn);
    const device = deviceReport(fn, roles.get(fn) ?? null, nameOf(host, fn));
    return named === undefined ? device : { ...device, files: [...named] };
  });
  const known = new Set(machine.devices.map(({ address }) => address));
  const iommu = iommuOf([...roles.keys()]);
  // Files that lie on no PCI device say nothing of it.
  const isSaid = machine.devices.length > 0 && (roles.size === 0 || machine.iommu === iommu);
  return {
    ...machine,
    iommu: isSaid ? machine.iommu : machine.devices.length === 0 ? iommu : null,
    devices: [...machine.devices, ...devices.filter(({ address }) => !known.has(address))],
    paths: [...machine.paths, ...paths.values()],
  };
}

function partsOf(host: Host, tree: PciTree, points: readonly BenchPoint[]): KernelParts {
  const parts: KernelParts = { roles: new Map(), files: new Map(), paths: new Map() };
  const { roles, files, paths } = parts;
  const addEnd = (endpoint: BenchPoint["destination"], role: Role): PciFunction[] => {
    if (endpoint === null || !("file" in endpoint)) return [];
    const clients = kernelClients(host, tree, endpoint.file);
    for (const fn of clients) {
      if (!roles.has(fn)) roles.set(fn, role);
      files.set(fn, (files.get(fn) ?? new Set()).add(endpoint.file));
    }
    return clients;
  };
  for (const { sources, destination, provider } of points) {
    const clients = [
      ...sources.flatMap((source) => addEnd(source, "source")),
      ...addEnd(destination, "destination"),
    ];
    if (provider === null) continue;
    const memory = tree.get(parseKernelProvider(provider));
    if (!roles.has(memory)) roles.set(memory, "provider");
    for (const client of clients) {
      const key = `${client.address} ${memory.address}`;
      paths.set(key, describePath(tree, client.address, memory.address, "kernel"));
    }
  }
  return parts;
}

/** Of a controller that the nvme driver has, model and firmware as it read them. */
function nameOf(host: Host, fn: PciFunction): string {
  const controller = devicesOf(host, fn.address).find(({ subsystem }) => subsystem === "nvme");
  const model = controller && host.read(`${controller.path}/model`);
  const firmware = controller && host.read(`${controller.path}/firmware_rev`);
  return model && firmware ? `${model} (${firmware})` : idsOf(fn);
}
