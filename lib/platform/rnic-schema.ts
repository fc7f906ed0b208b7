/** RDMA NICs in a machine file. */
import path from "node:path";
import { z } from "zod";
import type { NativeFault } from "../addon.js";
import { count, delay } from "./fault-schema.js";
import { acs, driverOr, LARGEST, only, powerOfTwo } from "./schema.js";

export interface RnicConfiguration {
  kind: "rnic";
  /** Name of the driver that it is bound to; null: none. */
  driver: string | null;
  /** Bytes of memory of its own; null: none. */
  memory: number | null;
  /** The Unix socket to a machine in another process; null: its two ports are wired to each other. */
  wire: { role: "listen" | "connect"; path: string } | null;
  /** What befalls its packets from the start. */
  faults: NativeFault[];
}

const socket = z.string("must be the path of a socket").min(1, "must be the path of a socket");

const wire = only({ listen: socket.optional(), connect: socket.optional() }).refine(
  (value) => (value.listen === undefined) !== (value.connect === undefined),
  "needs one of listen and connect, and no more",
);

const fault = only({
  on: z.literal("packet", "must be packet").default("packet"),
  after: count(0).default(0),
  count: count(1).default(1),
  effect: z.enum(["lose", "corrupt"], "must be one of lose, corrupt").optional(),
  delay: delay.max(3_600_000, "must be an hour at most").optional(),
})
  .refine(
    (value) => (value.effect === undefined) !== (value.delay === undefined),
    "needs one of effect and delay, and no more",
  )
  // Keys that are not there stay away: in NativeFault nothing is undefined.
  .transform((value) => value as NativeFault);

export const rnic = only({
  device: z.literal("rnic"),
  acs,
  driver: driverOr("rnic"),
  memory: powerOfTwo(LARGEST).optional(),
  wire: wire.optional(),
  faults: z.array(fault, "must be a list of faults").default([]),
});

/** `directory`: where relative paths start. */
export function configureRnic(parsed: z.output<typeof rnic>, directory: string): RnicConfiguration {
  const { listen, connect } = parsed.wire ?? {};
  const file = listen ?? connect;
  return {
    kind: "rnic",
    driver: parsed.driver,
    memory: parsed.memory ?? null,
    wire:
      file === undefined
        ? null
        : {
            role: listen === undefined ? "connect" : "listen",
            path: path.resolve(directory, file),
          },
    faults: parsed.faults,
  };
}
