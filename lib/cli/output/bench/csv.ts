import type { BenchReport, BenchResult, Latency } from "../../../bench/report.js";
import { rows, type Cell } from "../csv.js";

type Of = (result: BenchResult, report: BenchReport) => Cell;

/**
 * All that is one value, by the JSON's names, joined where they are nested. Columns are added at the
 * end of this list; the percentiles, which a job chooses, come after all others.
 */
const COLUMNS: [string, Of][] = [
  ["version", (_, { version }) => version],
  ["platform", (_, { platform }) => platform],
  ["started", (_, { started }) => started],
  ["hostname", (_, { machine }) => machine.hostname],
  ["job", (r) => r.job],
  ["rw", (r) => r.rw],
  ["path", (r) => r.path],
  ["provider", (r) => r.provider],
  ["src", (r) => r.src],
  ["dst", (r) => r.dst],
  ["bs", (r) => r.bs],
  ["iodepth", (r) => r.iodepth],
  ["numjobs", (r) => r.numjobs],
  ["rwmixread", (r) => r.rwmixread],
  ["registration", (r) => r.registration],
  ["bytes", (r) => r.bytes],
  ["ios", (r) => r.ios],
  ["runtime_ns", (r) => r.runtime_ns],
  ["samples", (r) => r.samples.bw_bytes.length],
  ["confidence", (r) => r.samples.confidence],
  ["bw_bytes", (r) => r.bw_bytes],
  ["bw_bytes_ci_low", (r) => r.samples.bw_bytes_ci?.[0]],
  ["bw_bytes_ci_high", (r) => r.samples.bw_bytes_ci?.[1]],
  ["iops", (r) => r.iops],
  ["iops_ci_low", (r) => r.samples.iops_ci?.[0]],
  ["iops_ci_high", (r) => r.samples.iops_ci?.[1]],
  ["drift", (r) => r.samples.drift],
  ...latency("", (r) => r.lat_ns),
  ["read_ios", (r) => r.read?.ios],
  ...latency("read_", (r) => r.read?.lat_ns),
  ["write_ios", (r) => r.write?.ios],
  ...latency("write_", (r) => r.write?.lat_ns),
  ["cpu_usr_pct", (r) => r.cpu.usr_pct],
  ["cpu_sys_pct", (r) => r.cpu.sys_pct],
  ["cpu_busy_ns_per_block", (r) => r.cpu.busy_ns_per_block],
  ["cpu_device_ns_per_block", (r) => r.cpu.device_ns_per_block],
  ["traffic_source", (r) => r.traffic.source],
  ["host_memory_bytes", (r) => r.traffic.host_memory_bytes],
  ["host_control_bytes", (r) => r.traffic.host_control_bytes],
  ["root_complex_bytes", (r) => r.traffic.root_complex_bytes],
  ["link_bytes", (r) => r.traffic.links?.map(({ link, bytes }) => `${link}=${bytes}`).join(" ")],
  ["verify_mode", (r) => r.verify?.mode],
  ["verify_blocks", (r) => r.verify?.blocks],
  ["verify_mismatches", (r) => r.verify?.mismatches],
  ["verify_first", (r) => r.verify?.first],
  ["verify_runtime_ns", (r) => r.verify?.runtime_ns],
  ["in_cmb", (r) => r.in_cmb.join(", ")],
  ["limit_bw_bytes", (r) => r.limit_bw_bytes],
  ["incomplete", (r) => String(r.incomplete)],
  ["warnings", (r) => r.warnings.join("; ")],
  ["size", (r) => r.size],
  ["randseed", (r) => r.randseed],
  ["failed_code", (r) => r.failed?.code],
  ["failed_message", (r) => r.failed?.message],
  ["failed_hint", (r) => r.failed?.hint],
  ["warm_up_ns", (r) => r.warm_up_ns],
  ...rdmaEnd("src"),
  ...rdmaEnd("dst"),
];

/** RFC 4180, a header and one row for each result; unknown is an empty cell. */
export function benchCsv(report: BenchReport): string {
  const columns = [...COLUMNS, ...percentiles(report.results)];
  return rows([
    columns.map(([name]) => name),
    ...report.results.map((result) => columns.map(([, of]) => of(result, report))),
  ]);
}

function rdmaEnd(side: "src" | "dst"): [string, Of][] {
  const fields = ["dev", "address", "port", "gid_index", "staging"] as const;
  const bytes = ["host_memory_bytes", "root_complex_bytes"] as const;
  const cpu = ["usr_pct", "sys_pct", "busy_ns_per_block"] as const;
  return [
    ...[...fields, ...bytes].map((name): [string, Of] => [
      `rdma_${side}_${name}`,
      ({ rdma }) => rdma?.[side][name],
    ]),
    ...cpu.map((name): [string, Of] => [
      `rdma_${side}_cpu_${name}`,
      ({ rdma }) => rdma?.[side].cpu[name],
    ]),
  ];
}

function latency(
  prefix: string,
  of: (result: BenchResult) => Latency | null | undefined,
): [string, Of][] {
  return (["min", "mean", "stddev", "max"] as const).map((name) => [
    `${prefix}lat_ns_${name}`,
    (result) => of(result)?.[name],
  ]);
}

/** Of all that some result has, in rising order. */
function percentiles(results: readonly BenchResult[]): [string, Of][] {
  const parts: [string, (result: BenchResult) => Latency | null | undefined][] = [
    ["", (r) => r.lat_ns],
    ["read_", (r) => r.read?.lat_ns],
    ["write_", (r) => r.write?.lat_ns],
  ];
  return parts.flatMap(([prefix, of]) => {
    const names = new Set(results.flatMap((result) => Object.keys(of(result)?.percentile ?? {})));
    return [...names]
      .sort((a, b) => Number(a) - Number(b))
      .map((name): [string, Of] => [
        `${prefix}lat_ns_p${name}`,
        (result) => of(result)?.percentile[name],
      ]);
  });
}
