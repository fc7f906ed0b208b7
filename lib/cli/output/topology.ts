import type { CpuIdentity } from "../../platform.js";
import { IOMMU_MODES, type IommuMode } from "../../pci/function.js";
import type { PeerPath } from "../../pci/peer-path.js";
import type { PciTree } from "../../pci/tree.js";
import { rows } from "./csv.js";
import { lines } from "./normal.js";
import { known, matrixLines, type Matrix } from "./topology-matrix.js";
import { treeLines } from "./topology-tree.js";
import { counted } from "../../units.js";
import { wrapWords } from "./text.js";

/** What `topology` shows. */
export interface TopologyView extends Matrix {
  version: string;
  tree: PciTree;
  source: {
    kind: "vfio" | "loopback" | "capture";
    /** The directory of a capture. */
    path: string | null;
    /** Release of the kernel that was asked. */
    kernel: string | null;
  };
  /** One line: which machine this is, and why. */
  description: string;
}

/** For a person: at most 100 columns wide. */
export function topologyText(view: TopologyView): string {
  return lines([
    ...wrapWords(view.description, "", ""),
    "",
    ...wrapWords(cpuText(view.tree.cpu), "CPU     ", "        "),
    ...wrapWords(iommuText(view.tree), "IOMMU   ", "        "),
    ...(view.source.kernel === null ? [] : [`kernel  ${view.source.kernel}`]),
    "",
    ...treeLines(view.tree),
    "",
    ...matrixLines(view),
  ]);
}

/** One row for each pair; what is not known is an empty cell. */
export function topologyCsv(view: TopologyView): string {
  return rows([
    [
      ...["provider", "client", "distance", "route", "completion_route", "iommu"],
      ...["kernel_map_type", "kernel_reason", "vfio_map_type", "vfio_reason", "vfio_needs_proof"],
      ...["bottleneck_link", "bottleneck_bandwidth"],
    ],
    ...pairs(view).map((path) => [
      ...[path.provider.address, path.client.address, path.distance],
      ...[known(path.route), known(path.completionRoute), known(path.iommu)],
      ...[known(path.kernel.mapType), path.kernel.reason],
      ...[known(path.vfio.mapType), path.vfio.reason, String(path.vfio.needsProof)],
      ...[path.bottleneck?.link.address, path.bottleneck?.bandwidth],
    ]),
  ]);
}

function pairs({ providers, clients, path }: Matrix): PeerPath[] {
  return providers.flatMap((provider) => clients.map((client) => path(provider, client)));
}

/** How many functions the IOMMU treats how. */
export function countIommuModes({ functions }: PciTree): Record<IommuMode, number> {
  const count = (mode: IommuMode): number => functions.filter(({ iommu }) => iommu === mode).length;
  return Object.fromEntries(IOMMU_MODES.map((mode) => [mode, count(mode)])) as Record<
    IommuMode,
    number
  >;
}

export function countIommuGroups({ functions }: PciTree): number {
  return new Set(functions.map(({ iommuGroup }) => iommuGroup).filter((group) => group !== null))
    .size;
}

function cpuText(cpu: CpuIdentity | null): string {
  if (cpu === null) return "?";
  const family = cpu.family === 0 ? "" : `, family ${cpu.family.toString(16)}h`;
  return `${cpu.model || "?"} (${cpu.vendor}${family})`;
}

function iommuText(tree: PciTree): string {
  const groups = countIommuGroups(tree);
  if (groups === 0) return "none, or off: no function has an IOMMU group";
  const { translates, passes, none, unknown } = countIommuModes(tree);
  const parts: [number, string][] = [
    [translates, "translated"],
    [passes, "passed as they are"],
    [none, "without a group"],
    [unknown, "not known"],
  ];
  const present = parts.filter(([count]) => count > 0);
  return (
    `${counted(groups, "group")}; DMA of kernel drivers: ` +
    present.map(([count, how]) => `${counted(count, "function")} ${how}`).join(", ")
  );
}
