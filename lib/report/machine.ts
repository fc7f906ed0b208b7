import type {
  BenchReport,
  DeviceReport,
  DriverReport,
  MachineReport,
  PathReport,
} from "../bench/report.js";
import { formatSize } from "../units.js";
import { shortName } from "./addresses.js";
import { dataTable, type Column } from "./data-table.js";
import { html, type Content, type Markup } from "./markup.js";
import { UNKNOWN } from "./quantities.js";
import { linkWords, topologySvg } from "./topology.js";

/** What was measured on, as far as it bears on the figures. */
export function machineSection({ machine, platform }: BenchReport): Markup {
  const { devices, paths } = machine;
  return html`<section aria-labelledby="machine">
    <h2 id="machine">The machine</h2>
    <div class="figures">
      <dl class="facts card">
        ${facts(machine, platform).map(
          ([name, value]) =>
            html`<div>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>`,
        )}
      </dl>
      ${
        devices.length === 0
          ? null
          : html`<figure class="card">
              <figcaption>Devices in use, and the bridges between them</figcaption>
              ${topologySvg(machine, { id: "devices", title: "Devices in use", flow: null })}
            </figure>`
      }
    </div>
    ${devices.length === 0 ? null : dataTable("Devices", DEVICES, devices)}
    ${paths.length === 0 ? null : dataTable("Ways between devices", PATHS, paths)}
  </section>`;
}

function facts(
  { hostname, kernel, node, cpu, memory_bytes, iommu, drivers }: MachineReport,
  platform: BenchReport["platform"],
): [string, Content][] {
  return [
    ["Host", hostname],
    ["Platform", platform === "loopback" ? "loopback, a simulated machine" : platform],
    ["Processor", cpu.model],
    ["Cores", cpu.cores],
    ["Governor", cpu.governor ?? UNKNOWN],
    ["Memory", formatSize(memory_bytes)],
    ["Kernel", kernel],
    ...(drivers.length === 0
      ? []
      : [["Drivers", drivers.map(driverWords).join(", ")] as [string, string]]),
    ["IOMMU", iommu ?? UNKNOWN],
    ["Node.js", node],
  ];
}

/** What states no version is a part of its kernel. */
function driverWords({ name, version }: DriverReport): string {
  return version === null ? name : `${name} ${version}`;
}

const DEVICES: Column<DeviceReport>[] = [
  { title: "address", align: "left", value: ({ address }) => address },
  { title: "name", align: "left", value: ({ name }) => name },
  { title: "role", align: "left", value: ({ role }) => role },
  { title: "below", align: "left", value: ({ parent }) => parent ?? "root bus" },
  { title: "driver", align: "left", value: ({ driver }) => driver ?? UNKNOWN },
  { title: "IOMMU group", align: "right", value: ({ iommu_group: group }) => group ?? UNKNOWN },
  { title: "NUMA node", align: "right", value: ({ numa_node: node }) => node ?? UNKNOWN },
  { title: "link", align: "right", value: ({ link }) => linkWords(link) ?? UNKNOWN },
];

const PATHS: Column<PathReport>[] = [
  { title: "client", align: "left", value: ({ client }) => shortName(client) },
  { title: "provider", align: "left", value: ({ provider }) => shortName(provider) },
  { title: "distance", align: "right", value: ({ distance }) => distance ?? UNKNOWN },
  { title: "map type", align: "left", value: ({ map_type: type }) => type },
  { title: "route", align: "left", value: ({ route }) => route },
  { title: "why", align: "left", value: ({ reason }) => reason },
];
