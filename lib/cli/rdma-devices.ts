import { isActive } from "../rdma/path.js";
import { P2pError } from "../errors.js";
import type { RdmaDevice, RdmaDeviceInfo } from "../rdma/device.js";
import type { Session } from "../session.js";
import { packageVersion } from "../version.js";
import { EXIT } from "./failure.js";
import { runJob } from "./job.js";
import type { GlobalOptions } from "./options.js";
import {
  formatGidAddress,
  rdmaDevicesCsv,
  rdmaDevicesJson,
  rdmaDevicesText,
  type RdmaDeviceReport,
  type RdmaPortReport,
} from "./output/rdma-devices.js";

export async function rdmaDevices(options: GlobalOptions): Promise<number> {
  return runJob(options, [], ({ session, output }) => {
    const report = {
      version: packageVersion(),
      platform: session.platform.kind,
      devices: session.rdmaDevices().map((info) => reportOf(session, info)),
    };
    if (options.outputFormat === "json") output.write(rdmaDevicesJson(report));
    else if (options.outputFormat === "csv") output.write(rdmaDevicesCsv(report));
    else output.write(`${session.platform.description}\n\n${rdmaDevicesText(report)}`);
    return Promise.resolve(EXIT.ok);
  });
}

/** One that cannot be opened or asked is listed all the same, with the reason. Exported for its test. */
export function reportOf(
  session: Pick<Session, "rdmaDevice">,
  { name, address }: RdmaDeviceInfo,
): RdmaDeviceReport {
  try {
    return describe(session.rdmaDevice(name));
  } catch (error) {
    if (!(error instanceof P2pError)) throw error;
    const { code, message, hint = null } = error;
    return {
      ...{ name, address, firmware: null, node_guid: null, vendor_id: null, part_id: null },
      ...{ memory_bytes: null, on_demand_paging: null, limits: null, ports: [] },
      error: { code, message, hint },
    };
  }
}

function describe(device: RdmaDevice): RdmaDeviceReport {
  const { name, fn, attributes } = device;
  return {
    name,
    address: fn?.address ?? null,
    firmware: attributes.firmware === "" ? null : attributes.firmware,
    node_guid: attributes.nodeGuid.toString(16).padStart(16, "0"),
    vendor_id: attributes.vendorId,
    part_id: attributes.partId,
    memory_bytes: attributes.deviceMemoryBytes,
    on_demand_paging: attributes.onDemandPaging,
    limits: {
      region_bytes: Number(attributes.maxRegionBytes),
      regions: attributes.maxRegions,
      queue_pairs: attributes.maxQueuePairs,
      queue_entries: attributes.maxQueueEntries,
      sge: attributes.maxSge,
      completion_queues: attributes.maxCompletionQueues,
      completion_entries: attributes.maxCompletionEntries,
      reads_as_target: attributes.maxReadsAsTarget,
      reads_as_initiator: attributes.maxReadsAsInitiator,
    },
    ports: Array.from({ length: attributes.ports }, (_, index) => describePort(device, index + 1)),
    error: null,
  };
}

const STATES: Readonly<Record<number, RdmaPortReport["state"]>> = {
  1: "down",
  2: "initialising",
  3: "armed",
  4: "active",
};

function describePort(device: RdmaDevice, number: number): RdmaPortReport {
  const port = device.port(number);
  const gids = device.gids(number);
  const isUsable = isActive(port) && gids.length > 0;
  const chosen = isUsable ? device.choosePath({ port: number }).gidIndex : null;
  return {
    port: number,
    state: STATES[port.state] ?? "unknown",
    link_layer: port.linkLayer,
    gbits: port.gigabits,
    mtu: port.mtu,
    lid: port.lid,
    gids: gids.map(({ index, gid, type }) => ({
      index,
      gid: formatGidAddress(gid),
      type,
      is_default: index === chosen,
    })),
  };
}
