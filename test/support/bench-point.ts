import type { Sample } from "#lib/bench/measure/sample.js";
import type { BenchPoint } from "#lib/bench/point.js";
import { Histogram } from "#lib/reactor/histogram.js";
import { parseEndpoint } from "#lib/io/endpoint.js";

export const NVME0 = "0000:03:00.0";
export const NVME1 = "0000:04:00.0";

/** A copy of 4 KiB blocks, with all else as asked for. */
export function benchPoint(changes: Partial<BenchPoint> = {}): BenchPoint {
  return {
    ...{ job: "job", rw: "copy", path: "p2p", provider: null, rdma: null },
    sources: [parseEndpoint(NVME0)],
    destination: parseEndpoint(NVME1),
    ...{ bs: 4096, iodepth: 8, numjobs: 1, rwmixread: 50, offset: 0, size: null, runtime: 1 },
    timeBased: true,
    ...{ loops: 1, rampTime: 0, samples: 3, rateIops: null, cpusAllowed: [] },
    ...{ registration: "once", verify: null, randseed: 1, percentiles: [50, 99] },
    ...{ descriptors: "auto", sqInCmb: false, listsInCmb: false },
    ...{ isOneOfAll: false, refusal: null },
    ...changes,
  };
}

/** A second at `bandwidth` in blocks of 4 KiB that took `latency` ns each. */
export function benchSample(changes: Partial<Sample> = {}, latencies = [1000]): Sample {
  const latency = new Histogram();
  for (const ns of latencies) latency.record(ns);
  return {
    ...{ bytes: 4096 * 1000, ios: 1000, runtimeNs: 1e9, size: 2 ** 27, latency },
    ...{ reads: null, writes: null },
    cpu: { userNs: 9e8, systemNs: 1e8, busyNs: 5e5, deviceNs: 1e6 },
    traffic: {
      ...{ source: "counted", host_memory_bytes: 0, host_control_bytes: 100 },
      ...{ root_complex_bytes: 0, links: [{ link: NVME0, bytes: 4096 * 1000 }] },
    },
    ...{ ends: null, inCmb: [], notes: [] },
    ...changes,
  };
}
