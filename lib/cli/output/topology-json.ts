import type { PciFunction } from "../../pci/function.js";
import type { PeerPath } from "../../pci/peer-path.js";
import { acsBits, kindName } from "./topology-tree.js";
import { countIommuGroups, countIommuModes, type TopologyView } from "./topology.js";
import { known } from "./topology-matrix.js";

/** One object, in pieces, since many devices make many pairs; what is not known is null. */
export function* topologyJson(view: TopologyView): Generator<string> {
  const { version, source, tree } = view;
  const head = {
    version,
    source,
    cpu: tree.cpu,
    iommu: { groups: countIommuGroups(tree), functions: countIommuModes(tree) },
    host_bridges: tree.hostBridges.map(({ name, within }) => ({ name, within })),
    functions: tree.functions.map(describeFunction),
  };
  yield `${JSON.stringify(head, null, 2).slice(0, -"\n}".length)},\n  "matrix": [`;
  let separator = "\n";
  for (const provider of view.clients.length > 0 ? view.providers : []) {
    const entries = view.clients.map((client) => describePath(view.path(provider, client)));
    yield separator + entries.map((entry) => `    ${JSON.stringify(entry)}`).join(",\n");
    separator = ",\n";
  }
  yield `${separator === "\n" ? "" : "\n  "}]\n}\n`;
}

function describeFunction(fn: PciFunction) {
  const { express, acs, link } = fn;
  return {
    address: fn.address,
    parent: fn.parent?.address ?? null,
    host_bridge: fn.hostBridge,
    vendor_id: hex(fn.vendorId, 4),
    device_id: hex(fn.deviceId, 4),
    class_code: fn.answers ? hex(fn.classCode, 6) : null,
    kind: fn.answers ? kindName(fn) : null,
    physical_function: fn.physicalFunction,
    driver: fn.driver,
    iommu_group: fn.iommuGroup,
    iommu: known(fn.iommu),
    numa_node: fn.numaNode,
    config_bytes: fn.configSize,
    port_type: express === null ? "conventional" : (express?.portType ?? null),
    link: link && {
      speed: link.speed,
      width: link.width,
      max_speed: link.maxSpeed,
      max_width: link.maxWidth,
    },
    max_payload: express?.maxPayload ?? null,
    relaxed_ordering: express?.relaxedOrdering ?? null,
    acs:
      acs === undefined
        ? null
        : { supported: acsBits(acs?.capability ?? 0), enabled: acsBits(acs?.control ?? 0) },
    bars: fn.bars
      .filter((bar) => bar !== null)
      .map(({ index, address, size, prefetchable, is64 }) => {
        return { index, address, size, prefetchable, is_64bit: is64 };
      }),
    unassigned_bars: fn.unassignedBars,
    windows: fn.windows,
  };
}

function describePath(path: PeerPath) {
  const { kernel, vfio, bottleneck } = path;
  return {
    provider: path.provider.address,
    client: path.client.address,
    distance: path.distance,
    route: known(path.route),
    completion_route: known(path.completionRoute),
    iommu: known(path.iommu),
    kernel: { map_type: known(kernel.mapType), reason: kernel.reason },
    vfio: {
      map_type: known(vfio.mapType),
      reason: vfio.reason,
      needs_proof: vfio.needsProof,
    },
    bottleneck: bottleneck && {
      link: bottleneck.link.address,
      speed: bottleneck.link.link?.speed ?? null,
      width: bottleneck.link.link?.width ?? null,
      bandwidth: bottleneck.bandwidth,
    },
  };
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
