/** What a loopback device does wrong on demand, in a machine file; in code it is a NativeFault. */
import { z } from "zod";
import type { NativeFault } from "../addon.js";
import { only } from "./schema.js";

const TRIGGERS = [
  "read",
  "write",
  "flush",
  "compare",
  "copy",
  "identify",
  "abort",
  "create",
  "delete",
  "admin",
  "io",
  "any",
] as const;
const EFFECTS = [
  "hang",
  "drop-dma",
  "wrong-cid",
  "duplicate",
  "bad-sq-head",
  "bad-phase",
  "fatal",
  "no-disable",
  "no-reset",
  "remove",
  "vanish",
  "error",
  "request",
] as const;

export const count = (least: number) => {
  const message = `must be a whole number from ${least} on`;
  return z.int(message).min(least, message).max(0xffff_ffff, message);
};
export const delay = z.int("must be milliseconds").min(0, "must be milliseconds");

function bytes(names: string, most: readonly number[]) {
  const message = `must be [${names}]`;
  return z
    .array(z.int(message).min(0, message), message)
    .refine((list) => list.length === most.length && list.every((n, i) => n <= most[i]!), message);
}

const fields = only({
  on: z.enum(TRIGGERS, `must be one of ${TRIGGERS.join(", ")}`).default("any"),
  after: count(0).default(0),
  count: count(1).default(1),
  effect: z.enum(EFFECTS, `must be one of ${EFFECTS.join(", ")}`).optional(),
  delay: delay.max(3_600_000, "must be an hour at most").optional(),
  status: bytes("status code type, status code", [7, 255]).optional(),
  dnr: z.boolean("must be true or false").optional(),
  event: bytes("type, information, log page", [7, 255, 255]).optional(),
  abort: z.boolean("must be true or false").optional(),
});

export const fault = fields
  .superRefine((value, context) => {
    const { effect, delay, status, event } = value;
    if ([effect, delay, status, event].filter((each) => each !== undefined).length !== 1)
      context.addIssue("needs one of effect, delay, status and event, and no more");
    if (value.dnr !== undefined && status === undefined)
      context.addIssue({ code: "custom", path: ["dnr"], message: "goes with status only" });
    if (value.abort !== undefined && effect !== "hang")
      context.addIssue({ code: "custom", path: ["abort"], message: "goes with effect: hang only" });
  })
  // Keys that are not there stay away: in NativeFault nothing is undefined.
  .transform((value) => value as NativeFault);
