/** What both sides tell each other, beside the test itself. */
import { z } from "zod";
import { P2pError } from "../errors.js";
import { queuePairAddress, regionAddress } from "../exchange/address.js";
import { shortSize } from "../units.js";
import { layoutOf } from "./layout.js";
import { MEASURES, nameOf, VERBS, type RdmaTest } from "./plan.js";

const count = z.int().min(1);
const nanoseconds = z.number().min(0);

const test = z.object({
  verb: z.enum(VERBS),
  measure: z.enum(MEASURES),
  sizes: z.array(count).min(1).max(64),
  iterations: count.nullable(),
  duration: z.number().positive().nullable(),
  queuePairs: count,
  rxDepth: count,
});

/** The first message: what the sender was told to do, and where its memory is. */
export const offer = z.object({
  test,
  /** Of the data, where it is filled: the client's counts. */
  seed: z.int().min(0).max(0xffff_ffff),
  /** The CPU writes and reads this side's memory, so that data can be compared. */
  isFilled: z.boolean(),
  readsAsTarget: z.int().min(0).max(255),
  address: queuePairAddress.omit({ number: true }),
  region: regionAddress,
});
export type Offer = z.infer<typeof offer>;

/** Numbers of queue pairs in one message. */
export const MOST_NUMBERS = 4096;
export const numbers = z.object({
  queuePairs: z.array(queuePairAddress.shape.number).min(1).max(MOST_NUMBERS),
});

/** Both sides are about to begin with the messages of one size, by its index. */
export const ready = z.object({ ready: z.int() });

/** What one side measured of messages of one size. */
export const measurement = z.object({
  messages: count,
  runtimeNs: z.number().positive(),
  /** Of a message in the best stretch; null where no peak was looked for. */
  shortestNs: nanoseconds.nullable(),
  /** Null of bandwidth, and where a time ended the test. */
  latency: z
    .object({
      min: nanoseconds,
      max: nanoseconds,
      typical: nanoseconds,
      mean: nanoseconds,
      stddev: nanoseconds,
      p99: nanoseconds,
      p99_9: nanoseconds,
    })
    .nullable(),
});
export type Measurement = z.infer<typeof measurement>;

/** `result` is null of a side that had nothing to measure, `sent` of one that sent nothing (RdmaPerfOutcome). */
export const result = z.object({ result: measurement.nullable(), sent: count.nullable() });

/** Whether both were told alike. Errors: TEST_MISMATCH, SIZE_MISMATCH. */
export function assertAgree(own: RdmaTest, { test: theirs, region }: Offer): void {
  const differ = (what: string, here: string, there: string): P2pError =>
    new P2pError("TEST_MISMATCH", `${what}: here ${here}, at the other side ${there}`, {
      hint: "both sides take the same options",
    });
  if (nameOf(own) !== nameOf(theirs)) throw differ("the test", nameOf(own), nameOf(theirs));
  const sizes = [own, theirs].map((one) => one.sizes.map(shortSize).join(", "));
  if (sizes[0] !== sizes[1])
    throw new P2pError(
      "SIZE_MISMATCH",
      `messages of ${sizes[0]!} bytes here, of ${sizes[1]!} at the other side`,
      { hint: "give both sides the same --size, or --all" },
    );
  const facts: readonly (readonly [string, (test: RdmaTest) => string])[] = [
    ["iterations", ({ iterations }) => String(iterations ?? "none, but a duration")],
    ["duration", ({ duration }) => `${duration ?? 0} s`],
    ["queue pairs", ({ queuePairs }) => String(queuePairs)],
    ["receives posted ahead", ({ rxDepth }) => String(rxDepth)],
  ];
  for (const [what, of] of facts)
    if (of(own) !== of(theirs)) throw differ(what, of(own), of(theirs));
  const { bytes } = layoutOf(own);
  if (region.bytes < bytes)
    throw new P2pError(
      "SIZE_MISMATCH",
      `the other side has memory of ${region.bytes} bytes, the test needs ${bytes}`,
      { hint: "use the same p2pmem on both sides" },
    );
}
