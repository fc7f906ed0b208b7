import { z } from "zod";
import { PATTERNS } from "../perf/plan.js";
import { BENCH_PATHS, VERIFY_MODES } from "./point.js";
import { REPORT_FORMAT } from "./report.js";

/*
 * The JSON of a BenchReport, exactly: an unknown key is a mistake. A test compares the types. JSON
 * has no NaN, so that a figure which could not be computed is null, where the interface has a number.
 */

const count = z.int().nonnegative();
const positive = z.int().positive();
const amount = z.number().nonnegative();
const figure = amount.nullable();
const address = z.string().describe("PCI address: 0000:03:00.0");

const latency = z
  .strictObject({
    min: amount,
    mean: amount,
    stddev: amount,
    max: amount,
    percentile: z
      .record(z.string().regex(/^\d+(\.\d+)?$/), amount)
      .describe('by the percentage: { "99.9": 41000 }'),
    histogram: z
      .array(z.tuple([amount, amount, amount]))
      .exactOptional()
      .describe("least and largest value of each bucket, and its count"),
  })
  .describe("nanoseconds");

const part = z
  .strictObject({ ios: count, lat_ns: latency.nullable() })
  .nullable()
  .describe("of a mixed workload; null of others");

const interval = z.tuple([amount, amount]).nullable();

/** Each figure of each sample. */
const cpuSamples = z.strictObject({
  usr_pct: z.array(figure),
  sys_pct: z.array(figure),
  busy_ns_per_block: z.array(figure),
  device_ns_per_block: z.array(figure),
});

const samples = z.strictObject({
  at_s: z.array(amount).describe("begin of each sample, seconds after `started`"),
  bw_bytes: z.array(figure),
  iops: z.array(figure),
  lat_mean_ns: z.array(figure),
  cpu: cpuSamples,
  confidence: z.number().gt(0).lt(1).describe("probability that the intervals hold the medians"),
  bw_bytes_ci: interval,
  iops_ci: interval,
  drift: z.number().nullable().describe("from the first sample to the last, part of the median"),
});

const cpu = z.strictObject({
  usr_pct: figure,
  sys_pct: figure,
  busy_ns_per_block: figure.describe("the driver's time for each block, empty polls left out"),
  device_ns_per_block: figure.describe("of the loopback machine's device threads"),
});

const traffic = z.strictObject({
  source: z.enum(["counted", "derived"]),
  host_memory_bytes: count.nullable().describe("payload bytes; null: not known"),
  host_control_bytes: count.nullable(),
  root_complex_bytes: count.nullable(),
  links: z
    .array(z.strictObject({ link: address, bytes: count }))
    .nullable()
    .describe("bytes over each link on the way, by the address of its lower end"),
});

const rdmaEnd = z.strictObject({
  dev: z.string().describe("name of the RDMA device"),
  address: address.nullable().describe("its PCI function; null: it has none (soft-RoCE)"),
  port: positive,
  gid_index: count,
  staging: z.string().describe("host, or the name of the peer memory"),
  host_memory_bytes: count.nullable().describe("payload bytes of this end, derived"),
  root_complex_bytes: count.nullable(),
  cpu: z
    .strictObject({ usr_pct: figure, sys_pct: figure, busy_ns_per_block: figure })
    .describe("of this end's thread"),
});

const verify = z.strictObject({
  mode: z.enum(VERIFY_MODES),
  blocks: count,
  mismatches: count,
  first: z.string().nullable().describe("the first mismatch, in words"),
  runtime_ns: amount.describe("apart from the samples"),
});

const failure = z.strictObject({
  code: z.string().describe("stable; docs/errors.md"),
  message: z.string(),
  hint: z.string().nullable(),
});

const result = z.strictObject({
  job: z.string(),
  rw: z.enum(["copy", ...PATTERNS]),
  path: z.enum(BENCH_PATHS),
  provider: z.string().nullable().describe("the peer memory; null where the path has none"),
  src: z.string().nullable().describe("what is read; several are separated by commas"),
  dst: z.string().nullable().describe("what is written"),
  bs: positive.describe("bytes"),
  size: positive.nullable().describe("bytes of each endpoint that the blocks or I/Os went over"),
  iodepth: positive.describe("blocks or I/Os in flight, of each thread at each source"),
  numjobs: positive.describe("threads"),
  rwmixread: count.max(100).nullable(),
  registration: z.enum(["once", "each"]),
  randseed: count.describe("of random places and mixes, and of the choice among equal providers"),
  bytes: count.describe("of all samples together, as ios and runtime_ns"),
  ios: count,
  runtime_ns: amount,
  warm_up_ns: amount.describe("what ran before the first sample, and is counted nowhere"),
  bw_bytes: figure.describe("bytes a second: the median of the samples"),
  iops: figure.describe("I/Os or blocks a second: the median of the samples"),
  lat_ns: latency.nullable(),
  read: part,
  write: part,
  cpu,
  traffic,
  rdma: z
    .strictObject({ src: rdmaEnd, dst: rdmaEnd })
    .nullable()
    .describe("the two ends of a path over RDMA; null of others"),
  verify: verify.nullable(),
  in_cmb: z.array(z.string()).describe("submission queues and lists that lay in a CMB"),
  limit_bw_bytes: figure.describe("of two memcpys a block; of copies on the loopback machine"),
  samples,
  incomplete: z.boolean().describe("it was interrupted"),
  failed: failure.nullable().describe("why it did not run, or not to its end"),
  warnings: z.array(z.string()),
});

const device = z.strictObject({
  address,
  role: z.string().describe("source, destination, provider, nic, or bridge"),
  parent: address.nullable(),
  name: z.string(),
  driver: z.string().nullable(),
  files: z
    .array(z.string())
    .exactOptional()
    .describe("of the kernel's paths: what results name of the device, /dev/nvme0n1"),
  iommu_group: count.nullable(),
  numa_node: count.nullable(),
  link: z.strictObject({ gts: amount, width: count }).nullable().describe("GT/s, and lanes"),
});

const path = z.strictObject({
  client: address,
  provider: address,
  distance: count.nullable(),
  map_type: z.string(),
  route: z.string(),
  reason: z.string(),
});

const driver = z.strictObject({
  name: z.string(),
  version: z.string().nullable().describe("as its module states it; null: that of its kernel"),
  source_version: z.string().nullable().describe("the module's srcversion"),
});

const machine = z.strictObject({
  hostname: z.string(),
  kernel: z.string(),
  node: z.string(),
  cpu: z.strictObject({ model: z.string(), cores: positive, governor: z.string().nullable() }),
  memory_bytes: count,
  iommu: z.string().nullable().describe("translated, passthrough, or off"),
  drivers: z.array(driver).describe("the kernel's; none of the loopback machine"),
  devices: z.array(device),
  paths: z.array(path),
});

const expectation = z.strictObject({
  job: z.string(),
  expression: z.string().describe("as written"),
  point: z.string().describe("the combination: bs=4k iodepth=8"),
  outcome: z.enum(["pass", "fail", "error"]),
  detail: z.string().describe("the values of its sides, or why there are none"),
});

export const reportSchema = z
  .strictObject({
    format: z.literal(REPORT_FORMAT),
    version: z.string().describe("of p2pmem"),
    platform: z.enum(["loopback", "vfio", "kernel"]),
    started: z.iso.datetime(),
    command: z.array(z.string()).readonly().describe("what repeats it, word by word"),
    incomplete: z.boolean().describe("it ended early: results are what there was until then"),
    machine,
    results: z.array(result),
    expectations: z.array(expectation),
    warnings: z.array(z.string()),
  })
  .meta({ title: "Report of p2pmem bench", description: "Unknown is null, never 0." });

/** JSON Schema 2020-12 of what `p2pmem bench --output-format json` writes. */
export function reportJsonSchema(): object {
  return z.toJSONSchema(reportSchema);
}
