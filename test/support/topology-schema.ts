import { z } from "zod";

const count = z.number().int().nonnegative();
const text = z.string().min(1);
const mapType = z.enum(["BUS_ADDR", "THROUGH_HOST_BRIDGE", "NOT_SUPPORTED"]).nullable();
const route = z.enum(["internal", "direct", "unstated", "root", "blocked"]).nullable();
const iommu = z.enum(["translates", "passes", "none"]).nullable();
const range = z.strictObject({ start: count, size: count.positive() });

const functionReport = z.strictObject({
  address: text,
  parent: text.nullable(),
  host_bridge: text,
  vendor_id: z.string().regex(/^[0-9a-f]{4}$/),
  device_id: z.string().regex(/^[0-9a-f]{4}$/),
  class_code: z
    .string()
    .regex(/^[0-9a-f]{6}$/)
    .nullable(),
  kind: text.nullable(),
  physical_function: text.nullable(),
  driver: text.nullable(),
  iommu_group: count.nullable(),
  iommu,
  numa_node: count.nullable(),
  config_bytes: count.min(64).max(4096),
  port_type: text.nullable(),
  link: z
    .strictObject({
      speed: z.number().nullable(),
      width: count.nullable(),
      max_speed: z.number().nullable(),
      max_width: count.nullable(),
    })
    .nullable(),
  max_payload: z.strictObject({ supported: count, current: count }).nullable(),
  relaxed_ordering: z.boolean().nullable(),
  acs: z.strictObject({ supported: z.array(text), enabled: z.array(text) }).nullable(),
  bars: z.array(
    z.strictObject({
      index: count.max(5),
      address: count,
      size: count.positive(),
      prefetchable: z.boolean(),
      is_64bit: z.boolean(),
    }),
  ),
  unassigned_bars: z.array(z.strictObject({ index: count.max(5), size: count.positive() })),
  windows: z.array(range),
});

/** The object that `topology --json` writes, exactly: an unknown key is a mistake as well. */
export const topologyReport = z.strictObject({
  version: text,
  source: z.strictObject({
    kind: z.enum(["vfio", "loopback", "capture"]),
    path: text.nullable(),
    kernel: text.nullable(),
  }),
  cpu: z.strictObject({ vendor: text, family: count, model: z.string() }).nullable(),
  iommu: z.strictObject({
    groups: count,
    functions: z.strictObject({ translates: count, passes: count, none: count, unknown: count }),
  }),
  host_bridges: z.array(z.strictObject({ name: text, within: text.nullable() })),
  functions: z.array(functionReport),
  matrix: z.array(
    z.strictObject({
      provider: text,
      client: text,
      distance: count,
      route,
      completion_route: route,
      iommu,
      kernel: z.strictObject({ map_type: mapType, reason: text }),
      vfio: z.strictObject({ map_type: mapType, reason: text, needs_proof: z.boolean() }),
      bottleneck: z
        .strictObject({
          link: text,
          speed: z.number().nullable(),
          width: count.nullable(),
          bandwidth: z.number().positive(),
        })
        .nullable(),
    }),
  ),
});
