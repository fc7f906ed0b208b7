import type { BenchReport, BenchResult, Latency } from "#lib/bench/report.js";
import * as server from "./bench-report.js";

export function latency(changes: Partial<Latency> = {}): Latency {
  return {
    min: 1000,
    mean: 2500,
    stddev: 300,
    max: 90_000,
    percentile: { "50": 2000, "90": 3000, "99": 8700, "99.9": 9000, "99.99": 9500 },
    ...changes,
  };
}

/** A result of a copy as the loopback machine gives it, with all that can be known. */
export function benchResult(changes: Partial<BenchResult> = {}): BenchResult {
  return server.benchResult({
    job: "quick",
    provider: "0000:05:00.0/bar2",
    src: "0000:03:00.0/1",
    dst: "0000:04:00.0/1",
    bs: 4096,
    size: 2 ** 27,
    iodepth: 8,
    randseed: 1,
    bytes: 4_096_000_000,
    ios: 1_000_000,
    runtime_ns: 5e9,
    warm_up_ns: 1e8,
    bw_bytes: 819_200_000,
    iops: 200_000,
    lat_ns: latency(),
    cpu: { usr_pct: 90, sys_pct: 1, busy_ns_per_block: 150, device_ns_per_block: 900 },
    traffic: {
      source: "counted",
      host_memory_bytes: 0,
      host_control_bytes: 4096,
      root_complex_bytes: 0,
      links: null,
    },
    limit_bw_bytes: 2e9,
    samples: {
      at_s: [0, 1, 2, 3, 4],
      bw_bytes: [819e6, 820e6, 818e6, 819.2e6, 821e6],
      iops: [199_951, 200_195, 199_707, 200_000, 200_439],
      lat_mean_ns: [2500, 2490, 2510, 2505, 2495],
      cpu: {
        usr_pct: [90, 90, 89, 91, 90],
        sys_pct: [1, 1, 1, 1, 1],
        busy_ns_per_block: [150, 149, 151, 150, 150],
        device_ns_per_block: [900, 900, 890, 910, 900],
      },
      confidence: 0.95,
      bw_bytes_ci: [818e6, 821e6],
      iops_ci: [199_707, 200_439],
      drift: 0.001,
    },
    ...changes,
  });
}

/** Of one result, and nothing else to say. */
export function benchReport(changes: Partial<BenchReport> = {}): BenchReport {
  return {
    ...server.benchReport(),
    platform: "loopback",
    started: "2026-01-02T03:04:05.678Z",
    command: ["p2pmem", "bench"],
    incomplete: false,
    machine: {
      hostname: "lab1",
      kernel: "6.12.0",
      node: "v22.0.0",
      cpu: { model: "A processor", cores: 2, governor: null },
      memory_bytes: 2 ** 33,
      iommu: "translated",
      devices: [],
      drivers: [],
      paths: [],
    },
    results: [benchResult()],
    expectations: [],
    warnings: [],
    ...changes,
  };
}
