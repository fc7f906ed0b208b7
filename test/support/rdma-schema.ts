/** The JSON of `p2pmem rdma write|read|send`, as README.md documents it. */
import { z } from "zod";

const ns = z.number().positive();

const row = z.strictObject({
  bytes: z.int().positive(),
  iterations: z.int().positive(),
  runtime_ns: ns,
  bw_peak_bytes: z.number().positive().nullable(),
  bw_bytes: z.number().positive().nullable(),
  msg_rate: z.number().positive(),
  lat_ns: z
    .strictObject({
      min: ns.nullable(),
      max: ns.nullable(),
      typical: ns.nullable(),
      mean: ns,
      stddev: z.number().min(0).nullable(),
      percentile: z.strictObject({ "99": ns.nullable(), "99.9": ns.nullable() }),
    })
    .nullable(),
  verified: z.literal(true).nullable(),
});

export const rdmaReport = z.strictObject({
  version: z.string(),
  platform: z.enum(["vfio", "loopback"]),
  test: z.strictObject({
    verb: z.enum(["write", "read", "send"]),
    measure: z.enum(["bw", "lat"]),
    queue_pairs: z.int().positive(),
    tx_depth: z.int().positive(),
    rx_depth: z.int().positive().nullable(),
    duration: z.number().positive().nullable(),
  }),
  role: z.enum(["client", "server", "in-process"]),
  device: z.string(),
  port: z.int(),
  gid_index: z.int(),
  mtu: z.int().positive(),
  memory: z.string(),
  results: z.array(row).min(1),
  server_results: z.array(row).min(1).nullable(),
});
