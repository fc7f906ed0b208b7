import type { LimitedCopyResult } from "../../bench/limited-copy.js";
import { formatSize, shortSize } from "../../units.js";
import { notesOf } from "../report.js";
import type { ControllerReport, CopyReport, DeviceReport, ProviderReport } from "../report.js";
import { fixed, microseconds, ratio, thousands, UNKNOWN } from "./numbers.js";
import { table, type Column } from "./table.js";

/** For a person: at most 100 columns wide. */
export function copyTable({ results }: CopyReport): string {
  const columns = COPY_COLUMNS.filter(({ shown }) => shown === undefined || results.some(shown));
  return lines([...table(columns, results), ...notesOf(results).map((note) => `note: ${note}`)]);
}

interface CopyColumn extends Column<LimitedCopyResult> {
  /** Where it exists, the column is there only if it holds for some result. */
  shown?: (result: LimitedCopyResult) => boolean;
}

const COPY_COLUMNS: CopyColumn[] = [
  { title: "path", align: "left", value: ({ path }) => path },
  {
    title: "provider",
    align: "left",
    // Every domain but 0000 is rare enough to be shown.
    value: ({ provider }) => provider?.replace(/^0000:/, "") ?? "-",
    shown: ({ provider }) => provider !== null,
  },
  { title: "bs", align: "right", value: ({ bs }) => shortSize(bs) },
  { title: "depth", align: "right", value: ({ iodepth }) => String(iodepth) },
  {
    title: "jobs",
    align: "right",
    value: ({ jobs }) => String(jobs),
    shown: ({ jobs }) => jobs !== 1,
  },
  { title: "GB/s", align: "right", value: ({ bw_bytes }) => fixed(bw_bytes / 1e9, 2) },
  { title: "IOPS", align: "right", value: ({ iops }) => thousands(iops) },
  { title: "mean\nus", align: "right", value: ({ lat_ns }) => microseconds(lat_ns.mean) },
  {
    title: "p99\nus",
    align: "right",
    value: ({ lat_ns }) => microseconds(lat_ns.percentile["99"]),
  },
  {
    title: "CPU ns\n/block",
    align: "right",
    value: ({ cpu }) => fixed(cpu.busy_ns_per_block, 0),
  },
  {
    title: "host\nB/B",
    align: "right",
    value: ({ traffic, bytes }) => ratio(traffic.host_memory_bytes, bytes),
  },
  {
    title: "root\nB/B",
    align: "right",
    value: ({ traffic, bytes }) => ratio(traffic.root_complex_bytes, bytes),
  },
  {
    title: "% of\nlimit",
    align: "right",
    value: ({ bw_bytes, limit_bw_bytes: limit }) =>
      typeof limit === "number" ? fixed((100 * bw_bytes) / limit, 0) : UNKNOWN,
    shown: ({ limit_bw_bytes: limit }) => limit !== undefined,
  },
  {
    title: "verify",
    align: "left",
    value: ({ verify }) =>
      verify === null ? "-" : verify.mismatches === 0 ? "ok" : `${verify.mismatches} bad`,
    shown: ({ verify }) => verify !== null,
  },
];

export function devicesTable({ controllers, providers }: DeviceReport): string {
  return lines([
    ...section("NVMe controllers", CONTROLLER_COLUMNS, controllers),
    ...controllers.flatMap(({ address, error }) =>
      error === null
        ? []
        : [`${address}: ${error.code}: ${error.message}`, `  hint: ${error.hint ?? UNKNOWN}`],
    ),
    "",
    ...section("Namespaces", NAMESPACE_COLUMNS, namespacesOf(controllers)),
    "",
    ...section("Providers", PROVIDER_COLUMNS, providers),
  ]);
}

const CONTROLLER_COLUMNS: Column<ControllerReport>[] = [
  { title: "address", align: "left", value: ({ address }) => address },
  { title: "driver", align: "left", value: ({ driver }) => driver ?? "-" },
  {
    title: "group",
    align: "right",
    value: ({ iommu_group: group }) => (group === null ? "-" : String(group)),
  },
  {
    title: "MDTS",
    align: "right",
    value: ({ mdts_bytes: mdts }) => (mdts === null ? UNKNOWN : formatSize(mdts)),
  },
  { title: "model", align: "left", value: ({ model }) => model ?? UNKNOWN },
  { title: "serial", align: "left", value: ({ serial }) => serial ?? UNKNOWN },
  { title: "firmware", align: "left", value: ({ firmware }) => firmware ?? UNKNOWN },
];

interface NamespaceRow {
  name: string;
  bytes: number;
  block_bytes: number;
}

const NAMESPACE_COLUMNS: Column<NamespaceRow>[] = [
  { title: "endpoint", align: "left", value: ({ name }) => name },
  { title: "size", align: "right", value: ({ bytes }) => formatSize(bytes) },
  { title: "block", align: "right", value: ({ block_bytes: block }) => formatSize(block) },
];

const PROVIDER_COLUMNS: Column<ProviderReport>[] = [
  { title: "provider", align: "left", value: ({ name }) => name },
  { title: "size", align: "right", value: ({ bytes }) => formatSize(bytes) },
  { title: "holds", align: "left", value: ({ abilities }) => abilities?.join(" ") ?? "data" },
  {
    title: "keeps it",
    align: "left",
    value: ({ persistent }) => (persistent ? "persistent" : "-"),
  },
];

function namespacesOf(controllers: readonly ControllerReport[]): NamespaceRow[] {
  return controllers.flatMap(({ address, namespaces }) =>
    namespaces.map((namespace) => ({ ...namespace, name: `${address}/${namespace.nsid}` })),
  );
}

function section<Row>(title: string, columns: Column<Row>[], rows: readonly Row[]): string[] {
  return [title, ...(rows.length === 0 ? ["none"] : table(columns, rows)).map((row) => `  ${row}`)];
}

export function lines(text: readonly string[]): string {
  return text.map((line) => `${line}\n`).join("");
}
