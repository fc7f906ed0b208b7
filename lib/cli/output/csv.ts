import type { LimitedCopyResult } from "../../bench/limited-copy.js";
import type { CopyReport, DeviceReport } from "../report.js";

export type Cell = string | number | null | undefined;

const PERCENTILES = ["50", "90", "99", "99.9", "99.99"];

/** The columns of a result: the JSON's names, joined where they are nested. */
const COPY_COLUMNS: [string, (result: LimitedCopyResult) => Cell][] = [
  ["path", (r) => r.path],
  ["provider", (r) => r.provider],
  ["src", (r) => r.src],
  ["dst", (r) => r.dst],
  ["bs", (r) => r.bs],
  ["iodepth", (r) => r.iodepth],
  ["jobs", (r) => r.jobs],
  ["bytes", (r) => r.bytes],
  ["runtime_ns", (r) => r.runtime_ns],
  ["bw_bytes", (r) => r.bw_bytes],
  ["iops", (r) => r.iops],
  ["lat_ns_min", (r) => r.lat_ns.min],
  ["lat_ns_mean", (r) => r.lat_ns.mean],
  ["lat_ns_max", (r) => r.lat_ns.max],
  ...PERCENTILES.map((p): [string, (result: LimitedCopyResult) => Cell] => [
    `lat_ns_p${p}`,
    (r) => r.lat_ns.percentile[p],
  ]),
  ["cpu_usr_pct", (r) => r.cpu.usr_pct],
  ["cpu_sys_pct", (r) => r.cpu.sys_pct],
  ["cpu_busy_ns_per_block", (r) => r.cpu.busy_ns_per_block],
  ["cpu_device_ns_per_block", (r) => r.cpu.device_ns_per_block],
  ["traffic_source", (r) => r.traffic.source],
  ["host_memory_bytes", (r) => r.traffic.host_memory_bytes],
  ["host_control_bytes", (r) => r.traffic.host_control_bytes],
  ["root_complex_bytes", (r) => r.traffic.root_complex_bytes],
  ["verify_blocks", (r) => r.verify?.blocks],
  ["verify_mismatches", (r) => r.verify?.mismatches],
  ["limit_bw_bytes", (r) => r.limit_bw_bytes],
  ["in_cmb", (r) => r.in_cmb.join(", ")],
];

/** RFC 4180, a header and one row for each result; unknown is an empty cell. */
export function copyCsv({ version, platform, results }: CopyReport): string {
  return rows([
    ["version", "platform", ...COPY_COLUMNS.map(([name]) => name)],
    ...results.map((result) => [version, platform, ...COPY_COLUMNS.map(([, of]) => of(result))]),
  ]);
}

/** One row for each namespace, for each controller without one, and for each provider. */
export function devicesCsv({ controllers, providers }: DeviceReport): string {
  return rows([
    [
      "kind",
      "name",
      "bytes",
      "block_bytes",
      "driver",
      "iommu_group",
      "model",
      "serial",
      "firmware",
      "mdts_bytes",
      "error",
      "abilities",
      "persistent",
    ],
    ...controllers.flatMap((controller) => {
      const { driver, iommu_group, model, serial, firmware, mdts_bytes, error } = controller;
      const rest = [driver, iommu_group, model, serial, firmware, mdts_bytes, error?.code];
      if (controller.namespaces.length === 0)
        return [["controller", controller.address, null, null, ...rest, null, null]];
      return controller.namespaces.map(({ nsid, bytes, block_bytes }) => [
        "namespace",
        `${controller.address}/${nsid}`,
        bytes,
        block_bytes,
        ...rest,
        ...[null, null],
      ]);
    }),
    ...providers.map(({ name, bytes, abilities, persistent }) => [
      ...["provider", name, bytes, ...Array<null>(8).fill(null)],
      ...[abilities?.join(" "), String(persistent)],
    ]),
  ]);
}

/** Lines as RFC 4180 has them; null and undefined are empty cells. */
export function rows(cells: Cell[][]): string {
  return cells.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: Cell): string {
  if (
    value === null ||
    value === undefined ||
    (typeof value === "number" && !Number.isFinite(value))
  )
    return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
