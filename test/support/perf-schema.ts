import { z } from "zod";

const count = z.number().int().nonnegative();
const positive = z.number().positive();

const latency = z
  .strictObject({
    min: positive,
    mean: positive,
    max: positive,
    percentile: z.record(z.string().regex(/^\d+(\.\d+)?$/), positive),
  })
  .nullable();

const row = z.strictObject({
  target: z.string().nullable(),
  cpu: count.nullable(),
  descriptors: z.enum(["prp", "sgl"]).nullable(),
  runtime_ns: positive,
  ios: count.positive(),
  bytes: count.positive(),
  iops: positive,
  bw_bytes: positive,
  lat_ns: latency,
  read: z.strictObject({ ios: count, lat_ns: latency }),
  write: z.strictObject({ ios: count, lat_ns: latency }),
  histogram: z.array(z.tuple([count, count, count.positive()])).optional(),
});

/** The object that `perf --output-format json` writes: an unknown key is a mistake as well. */
export const perfReport = z.strictObject({
  version: z.string(),
  platform: z.enum(["vfio", "loopback"]),
  workload: z.strictObject({
    provider: z.string().nullable(),
    pattern: z.enum(["read", "write", "randread", "randwrite", "rw", "randrw"]),
    read_pct: count,
    io_bytes: count.positive(),
    depth: count.positive(),
    queue_pairs: count.positive(),
    interrupts: z.boolean(),
    sq_in_cmb: z.boolean(),
    seed: count,
  }),
  results: z.array(row),
  total: row,
  threads: z.array(
    z.strictObject({
      cpu: count.nullable(),
      usr_pct: z.number().nonnegative(),
      sys_pct: z.number().nonnegative(),
      busy_pct: z.number().nonnegative(),
      busy_ns_per_io: positive,
    }),
  ),
  traffic: z.strictObject({
    source: z.enum(["counted", "derived"]),
    host_memory_bytes: count.nullable(),
    host_control_bytes: count.nullable(),
    root_complex_bytes: count.nullable(),
    links: z.array(z.strictObject({ link: z.string(), bytes: count.positive() })).nullable(),
  }),
  notes: z.array(z.string()),
});
