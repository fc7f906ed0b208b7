import { z } from "zod";

const count = z.number().int().nonnegative();
const positive = z.number().positive();

/** One result of `copy`, exactly: an unknown key is a mistake as well. */
const result = z.strictObject({
  path: z.enum(["p2p", "host", "cpu", "nvme-copy"]),
  provider: z.string().nullable(),
  src: z.string(),
  dst: z.string(),
  bs: count.positive(),
  iodepth: count.positive(),
  jobs: count.positive(),
  bytes: count.positive(),
  runtime_ns: positive,
  bw_bytes: positive,
  iops: positive,
  lat_ns: z.strictObject({
    min: positive,
    mean: positive,
    max: positive,
    percentile: z.strictObject({
      "50": positive,
      "90": positive,
      "99": positive,
      "99.9": positive,
      "99.99": positive,
    }),
  }),
  cpu: z.strictObject({
    usr_pct: z.number().nonnegative(),
    sys_pct: z.number().nonnegative(),
    busy_ns_per_block: positive,
    device_ns_per_block: positive.nullable(),
  }),
  traffic: z.strictObject({
    source: z.enum(["counted", "derived"]),
    host_memory_bytes: count.nullable(),
    host_control_bytes: count.nullable(),
    root_complex_bytes: count.nullable(),
    links: z.array(z.strictObject({ link: z.string(), bytes: count.positive() })).nullable(),
  }),
  verify: z
    .strictObject({ blocks: count.positive(), mismatches: count, first: z.string().nullable() })
    .nullable(),
  in_cmb: z.array(z.enum(["src sq", "src lists", "dst sq", "dst lists"])),
  limit_bw_bytes: positive.optional(),
});

/** The object that `--output-format json` writes. */
export const copyReport = z.strictObject({
  version: z.string(),
  platform: z.enum(["vfio", "loopback"]),
  results: z.array(result),
});

/** The object that `probe --output-format json` writes. */
export const probeReport = z.strictObject({
  version: z.string(),
  platform: z.enum(["vfio", "loopback"]),
  source: z.string(),
  provider: z.string(),
  destination: z.string(),
  legs: z.array(
    z.strictObject({
      client: z.enum(["source", "destination"]),
      device: z.string(),
      direction: z.enum(["write", "read"]),
      required: z.boolean(),
      outcome: z.enum(["proved", "lost", "corrupted", "refused", "unproved", "failed"]),
      detail: z.string().min(1),
      bytes: count,
    }),
  ),
  faults: z
    .array(
      z.strictObject({
        device: z.string(),
        iova: z.string().regex(/^0x[0-9a-f]+$/),
        write: z.boolean(),
        reason: z.string(),
      }),
    )
    .nullable(),
  verdict: z.enum(["proved", "loses data", "refused", "unproved"]),
});

/** The object that `list --output-format json` writes. */
export const deviceReport = z.strictObject({
  version: z.string(),
  platform: z.enum(["vfio", "loopback"]),
  controllers: z.array(
    z.strictObject({
      address: z.string(),
      driver: z.string().nullable(),
      iommu_group: count.nullable(),
      model: z.string().nullable(),
      serial: z.string().nullable(),
      firmware: z.string().nullable(),
      mdts_bytes: count.nullable(),
      namespaces: z.array(
        z.strictObject({ nsid: count.positive(), bytes: count, block_bytes: count }),
      ),
      error: z
        .strictObject({ code: z.string(), message: z.string(), hint: z.string().nullable() })
        .nullable(),
    }),
  ),
  providers: z.array(
    z.strictObject({
      name: z.string(),
      device: z.string(),
      bytes: count,
      abilities: z.array(z.enum(["SQS", "CQS", "LISTS", "RDS", "WDS"])).nullable(),
      persistent: z.boolean(),
    }),
  ),
});
