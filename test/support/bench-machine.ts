import type { DeviceReport, MachineReport, PathReport } from "#lib/bench/report.js";

/** Its RDMA device is `mlx5_0`. */
export const NIC = "0000:1c:00.0";
const LINK = { gts: 16, width: 4 };

/** Three drives, a card and a NIC: all but one drive below a switch. */
export function machineReport(): MachineReport {
  return {
    hostname: "lab7",
    kernel: "6.12.41",
    node: "22.18.0",
    cpu: { model: "AMD EPYC 9354P 32-Core Processor", cores: 64, governor: "powersave" },
    memory_bytes: 256 * 2 ** 30,
    iommu: "translated",
    drivers: [
      { name: "nvme", version: "1.0", source_version: "9A5C1B1E0C2F8D7B6A4E3D2" },
      { name: "vfio-pci", version: null, source_version: null },
    ],
    devices: [
      bridge("0000:16:00.0", null, "1022:14a5"),
      bridge("0000:17:00.0", "0000:16:00.0", "1000:c030"),
      bridge("0000:18:00.0", "0000:17:00.0", "1000:c030"),
      bridge("0000:18:01.0", "0000:17:00.0", "1000:c030"),
      bridge("0000:18:02.0", "0000:17:00.0", "1000:c030"),
      bridge("0000:18:03.0", "0000:17:00.0", "1000:c030"),
      drive("0000:19:00.0", "0000:18:00.0", 20),
      drive("0000:1a:00.0", "0000:18:01.0", 21),
      {
        ...drive("0000:1b:00.0", "0000:18:02.0", 22),
        ...{ role: "provider", name: "1af4:1110", link: null, numa_node: null },
      },
      {
        ...drive(NIC, "0000:18:03.0", 23),
        ...{ role: "nic", name: "15b3:101d", driver: "mlx5_core" },
      },
      bridge("0000:64:00.0", null, "1022:14a5"),
      { ...drive("0000:65:00.0", "0000:64:00.0", 31), numa_node: 1 },
    ],
    paths: [
      path("0000:19:00.0", 4, "BUS_ADDR", "below a common switch, no port redirects"),
      path("0000:1a:00.0", 4, "BUS_ADDR", "below a common switch, no port redirects"),
      path(NIC, 4, "BUS_ADDR", "below a common switch, no port redirects"),
      path("0000:65:00.0", null, "THROUGH_HOST_BRIDGE", "the CPU forwards: AMD family 19h"),
    ],
  };
}

function drive(address: string, parent: string, group: number): DeviceReport {
  const name = "Example NVMe 4 TB (FW01)";
  const role = address === "0000:19:00.0" ? "source" : "destination";
  const iommu_group = group;
  return { address, role, parent, name, driver: "vfio-pci", iommu_group, numa_node: 0, link: LINK };
}

function bridge(address: string, parent: string | null, name: string): DeviceReport {
  const place = { iommu_group: null, numa_node: 0, link: { gts: 16, width: 16 } };
  return { address, role: "bridge", parent, name, driver: "pcieport", ...place };
}

function path(
  client: string,
  distance: number | null,
  map_type: string,
  reason: string,
): PathReport {
  const route = map_type === "BUS_ADDR" ? "switch" : "root";
  return { client, provider: "0000:1b:00.0", distance, map_type, route, reason };
}
