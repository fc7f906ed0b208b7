import { SocketAddress } from "node:net";
import type { Platform } from "../../platform.js";
import type { NativeRdmaAttributes, NativeRdmaGid, NativeRdmaPort } from "../../rdma-addon.js";
import { formatSize } from "../../units.js";
import { rows } from "./csv.js";
import { stringify } from "./json.js";
import { lines } from "./normal.js";
import { UNKNOWN } from "./numbers.js";
import { table, type Column } from "./table.js";
import { wrap } from "./text.js";

/** What `rdma devices` writes; bytes. */
export interface RdmaDevicesReport {
  version: string;
  platform: Platform["kind"];
  devices: RdmaDeviceReport[];
}

export interface RdmaDeviceReport {
  name: string;
  /** Of its PCI function; null: it has none, as soft-RoCE. */
  address: string | null;
  firmware: string | null;
  /** 16 hexadecimal digits; null, as the others, of a device that could not be asked. */
  node_guid: string | null;
  vendor_id: number | null;
  part_id: number | null;
  /** Of its own, which it shares out; 0: none. */
  memory_bytes: number | null;
  /** Of reliable connections; null: it has none. */
  on_demand_paging: NativeRdmaAttributes["onDemandPaging"];
  limits: {
    region_bytes: number;
    regions: number;
    queue_pairs: number;
    queue_entries: number;
    sge: number;
    completion_queues: number;
    completion_entries: number;
    reads_as_target: number;
    reads_as_initiator: number;
  } | null;
  ports: RdmaPortReport[];
  /** Why it could not be asked. */
  error: { code: string; message: string; hint: string | null } | null;
}

export interface RdmaPortReport {
  port: number;
  state: "down" | "initialising" | "armed" | "active" | "unknown";
  link_layer: NativeRdmaPort["linkLayer"];
  /** Gigabits a second. */
  gbits: number | null;
  mtu: number;
  lid: number;
  gids: {
    index: number;
    /** As an IPv6 address. */
    gid: string;
    type: NativeRdmaGid["type"];
    /** What is used where none is named. */
    is_default: boolean;
  }[];
}

export function rdmaDevicesJson(report: RdmaDevicesReport): string {
  return stringify(report);
}

/** For a person: the ports, then what there is to say of each device. */
export function rdmaDevicesText({ devices }: RdmaDevicesReport): string {
  if (devices.length === 0) return "no RDMA devices\n";
  const ports = devices.flatMap((device) => device.ports.map((port) => ({ ...port, device })));
  const paragraphs = devices.map(deviceLines);
  return lines([
    ...(ports.length === 0 ? paragraphs.splice(0, 1).flat() : table(PORT_COLUMNS, ports)),
    ...paragraphs.flatMap((paragraph) => ["", ...paragraph]),
  ]);
}

type PortRow = RdmaPortReport & { device: RdmaDeviceReport };

const PORT_COLUMNS: Column<PortRow>[] = [
  { title: "device", align: "left", value: ({ device }) => device.name },
  { title: "PCI address", align: "left", value: ({ device }) => device.address ?? "-" },
  { title: "port", align: "right", value: ({ port }) => String(port) },
  { title: "state", align: "left", value: ({ state }) => state },
  { title: "link", align: "left", value: (row) => row.link_layer },
  { title: "Gb/s", align: "right", value: ({ gbits }) => (gbits === null ? UNKNOWN : `${gbits}`) },
  { title: "MTU", align: "right", value: ({ mtu }) => String(mtu) },
  {
    title: "GID",
    align: "left",
    value: ({ gids }) => {
      const chosen = gids.find((gid) => gid.is_default);
      return chosen === undefined ? "-" : `${chosen.index}: ${chosen.gid}`;
    },
  },
];

function deviceLines({
  name,
  firmware,
  memory_bytes: memory,
  on_demand_paging: paging,
  limits,
  ports,
  error,
}: RdmaDeviceReport): string[] {
  if (error !== null)
    return [`${name}: ${error.code}: ${error.message}`, `  hint: ${error.hint ?? UNKNOWN}`];
  const pages =
    paging === null
      ? "no on-demand paging"
      : `on-demand paging of ${
          (["send", "receive", "write", "read", "implicit"] as const)
            .filter((what) => paging[what])
            .join(", ") || "nothing"
        }`;
  const facts = [
    `firmware ${firmware ?? UNKNOWN}`,
    memory === 0 ? "no memory of its own" : `${formatSize(memory!)} of its own memory`,
    pages,
    ...limitWords(limits!),
  ];
  return [
    ...wrap(facts, { first: `${name}: `, rest: "  ", separator: ", " }),
    ...ports.flatMap(({ port, gids }) =>
      gids.map(({ index, gid, type }) => `  port ${port} GID ${index}: ${gid} (${type})`),
    ),
  ];
}

function limitWords(limits: NonNullable<RdmaDeviceReport["limits"]>): string[] {
  return [
    // Soft-RoCE says 2**64 - 1.
    limits.region_bytes < 2 ** 63
      ? `regions up to ${formatSize(limits.region_bytes)}`
      : "regions of any size",
    `${limits.queue_pairs} queue pairs of up to ${limits.queue_entries} entries and ${limits.sge} SGEs`,
    `${limits.reads_as_initiator} reads in flight, ${limits.reads_as_target} from the other side`,
  ];
}

/** RFC 4180: a row for each GID, or for a port that has none, or a device that could not be asked. */
export function rdmaDevicesCsv({ devices }: RdmaDevicesReport): string {
  return rows([
    [
      ...["device", "address", "firmware", "memory_bytes", "port", "state", "link_layer"],
      ...["gbits", "mtu", "gid_index", "gid", "gid_type", "error"],
    ],
    ...devices.flatMap((device) =>
      (device.ports.length === 0 ? [null] : device.ports).flatMap((port) =>
        (port === null || port.gids.length === 0 ? [null] : port.gids).map((gid) => [
          ...[device.name, device.address, device.firmware, device.memory_bytes],
          ...[port?.port, port?.state, port?.link_layer, port?.gbits, port?.mtu],
          ...[gid?.index, gid?.gid, gid?.type, device.error?.code],
        ]),
      ),
    ),
  ]);
}

/** 16 bytes as an IPv6 address, which is what GIDs are of RoCE. */
export function formatGidAddress(gid: Uint8Array): string {
  const groups = Buffer.from(gid).toString("hex").match(/.{4}/g)!;
  return new SocketAddress({ address: groups.join(":"), family: "ipv6" }).address;
}
