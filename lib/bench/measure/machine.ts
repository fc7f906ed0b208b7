import { cpus, hostname, release, totalmem } from "node:os";
import { P2pError } from "../../errors.js";
import { Host } from "../../host/host.js";
import type { Bdf } from "../../pci/bdf.js";
import type { IommuMode, PciFunction } from "../../pci/function.js";
import { peerPath } from "../../pci/peer-path.js";
import type { PciTree } from "../../pci/tree.js";
import type { Session } from "../../session.js";
import type { DeviceReport, MachineReport, PathReport } from "../report.js";
import { describeDrivers } from "./drivers.js";
import type { NoiseSource } from "./noise.js";

/** What a device is to the points of a run. */
export type Role = "source" | "destination" | "provider" | "nic";

/** The devices of one point. */
export interface PointDevices {
  sources: readonly Bdf[];
  destination: Bdf | null;
  provider: Bdf | null;
  /** Over which its data goes. */
  nics: readonly Bdf[];
  /** By the kernel's own NVMe driver. */
  isKernel: boolean;
}

const IOMMU: Readonly<Record<IommuMode, string | null>> = {
  translates: "translated",
  passes: "passthrough",
  none: "off",
  unknown: null,
};

/**
 * This machine, and of its PCI devices those on the way of some point, as they are now. Of the loopback
 * machine the devices are its own, and all else is the machine's that it runs on.
 */
export async function describeMachine(
  session: Session,
  points: readonly PointDevices[],
  noise: NoiseSource,
  host = new Host(),
): Promise<MachineReport> {
  const { pci } = session;
  const roles = rolesOf(points);
  const ends = [...roles.keys()].map((address) => pci.get(address));
  const devices = onTheWay(pci, ends);
  const processors = cpus();
  return {
    hostname: hostname(),
    kernel: release(),
    node: process.versions.node,
    cpu: {
      model: processors[0]?.model ?? "unknown",
      cores: processors.length,
      governor: noise.governors().join(", ") || null,
    },
    memory_bytes: totalmem(),
    // What a NIC's kernel driver has is another matter.
    iommu: iommuOf(ends.filter(({ address }) => roles.get(address) !== "nic")),
    drivers: describeDrivers(host, driversOf(session, devices, points)),
    devices: await Promise.all(
      devices.map((fn) => describe(session, fn, roles.get(fn.address) ?? null)),
    ),
    paths: pathsOf(pci, points),
  };
}

/** What the loopback machine's devices are bound to is no driver of this kernel. */
function driversOf(
  { platform }: Session,
  devices: readonly PciFunction[],
  points: readonly PointDevices[],
): string[] {
  const bound = platform.kind === "loopback" ? [] : devices.flatMap(({ driver }) => driver ?? []);
  return [...bound, ...(points.some(({ isKernel }) => isKernel) ? ["nvme"] : [])];
}

/** The first role of each device, in the order of points. */
function rolesOf(points: readonly PointDevices[]): Map<Bdf, Role> {
  const roles = new Map<Bdf, Role>();
  const add = (address: Bdf | null, role: Role): void => {
    if (address !== null && !roles.has(address)) roles.set(address, role);
  };
  for (const { sources } of points) for (const source of sources) add(source, "source");
  for (const { destination } of points) add(destination, "destination");
  for (const { provider } of points) add(provider, "provider");
  for (const { nics } of points) for (const nic of nics) add(nic, "nic");
  return roles;
}

/** With the bridges above, in the order of addresses. */
export function onTheWay(pci: PciTree, ends: readonly PciFunction[]): PciFunction[] {
  const all = new Set(ends.flatMap((fn) => [fn, ...fn.upstream()]));
  return pci.functions.filter((fn) => all.has(fn));
}

/** Null where it is not known, or not the same for all. */
export function iommuOf(ends: readonly PciFunction[]): string | null {
  const modes = new Set(ends.map(({ iommu }) => iommu));
  const [mode] = modes;
  return mode === undefined || modes.size > 1 ? null : IOMMU[mode];
}

async function describe(
  session: Session,
  fn: PciFunction,
  role: Role | null,
): Promise<DeviceReport> {
  return deviceReport(fn, role, await nameOf(session, fn));
}

export function deviceReport(fn: PciFunction, role: Role | null, name: string): DeviceReport {
  const { speed = null, width = null } = fn.link ?? {};
  return {
    address: fn.address,
    role: role ?? "bridge",
    parent: fn.parent?.address ?? null,
    name,
    driver: fn.driver,
    iommu_group: fn.iommuGroup,
    numa_node: fn.numaNode,
    link: speed === null || width === null ? null : { gts: speed, width },
  };
}

/** Of a controller that p2pmem drives the model and firmware, unless it cannot be opened. */
async function nameOf(session: Session, fn: PciFunction): Promise<string> {
  if (!fn.isNvme || !fn.isOwnedByVfio) return idsOf(fn);
  try {
    const { modelNumber, firmwareRevision } = (await session.controller(fn.address)).identity;
    return `${modelNumber} (${firmwareRevision})`;
  } catch (error) {
    // The points of that device say what is wrong with it.
    if (error instanceof P2pError) return idsOf(fn);
    throw error;
  }
}

/** Vendor and device: `8086:0a54`. */
export function idsOf({ vendorId, deviceId }: PciFunction): string {
  const hex = (id: number): string => id.toString(16).padStart(4, "0");
  return `${hex(vendorId)}:${hex(deviceId)}`;
}

/** Of each client that reaches for a provider's memory, once. */
function pathsOf(pci: PciTree, points: readonly PointDevices[]): PathReport[] {
  const paths = new Map<string, PathReport>();
  const add = (client: Bdf, provider: Bdf, by: "vfio" | "kernel"): void => {
    const key = `${client} ${provider}`;
    if (!paths.has(key)) paths.set(key, describePath(pci, client, provider, by));
  };
  for (const { sources, destination, provider, nics } of points) {
    if (provider === null) continue;
    for (const client of [...sources, ...(destination === null ? [] : [destination])])
      add(client, provider, "vfio");
    // They stay with the kernel's driver.
    for (const nic of nics) add(nic, provider, "kernel");
  }
  return [...paths.values()];
}

/** `by`: whose mapping takes the way, p2pmem's over VFIO or the kernel's p2pdma. */
export function describePath(
  pci: PciTree,
  client: Bdf,
  provider: Bdf,
  by: "vfio" | "kernel",
): PathReport {
  const path = peerPath(pci, pci.get(provider), pci.get(client));
  return {
    client,
    provider,
    distance: path.distance,
    map_type: path[by].mapType,
    route: path.route,
    reason: path[by].reason,
  };
}
