import { P2pError } from "../errors.js";
import { MOST_FOR_PEAK } from "./bandwidth.js";
import type { LoopKind } from "./job.js";

/** What is measured, in perftest's words: `ib_write_bw` is verb `write`, measure `bw`. */
export type Verb = "write" | "read" | "send";
export type Measure = "bw" | "lat";

export type SideRole = "client" | "server";

export const VERBS: readonly Verb[] = ["write", "read", "send"];
export const MEASURES: readonly Measure[] = ["bw", "lat"];

export const DEFAULT_PORT = 18515;

/** What both sides must have been told alike. */
export interface RdmaTest {
  readonly verb: Verb;
  readonly measure: Measure;
  /** Bytes of a message, one test after another. */
  readonly sizes: readonly number[];
  /** Messages on each queue pair, at least 5; null where a time ends the test. */
  readonly iterations: number | null;
  /** Seconds; a quarter of it at either end does not count. */
  readonly duration: number | null;
  readonly queuePairs: number;
  /** Receives that are posted ahead, where the verb is `send`. */
  readonly rxDepth: number;
}

/** What each side says for itself. */
export interface RdmaPerfPlan extends RdmaTest {
  /** Requests in flight on each queue pair, at most. */
  readonly txDepth: number;
  /** Every so many requests one asks for a completion; null: as perftest, by the size. */
  readonly cqMod: number | null;
  /** Bytes; null: the largest that both ports have. */
  readonly mtu: number | null;
  /** Messages up to so many bytes are sent inline; null: as perftest. */
  readonly inlineBytes: number | null;
}

/** Both inclusive; perftest's. */
const LIMITS = {
  iterations: [5, 100_000_000],
  queuePairs: [1, 16_384],
  txDepth: [1, 15_000],
  rxDepth: [1, 16_384],
  cqMod: [1, 1024],
  /** A message is up to 2**31 bytes long (InfiniBand 1.4 §9.3.3); perftest ends before. */
  size: [1, 2 ** 31 - 1],
} as const;

/** `-a`: 2 bytes to 8 MiB. */
export const ALL_SIZES: readonly number[] = Array.from({ length: 23 }, (_, n) => 2 ** (n + 1));

/** What perftest does where nothing else is said. */
export function defaultsOf(verb: Verb, measure: Measure): RdmaPerfPlan {
  const isBandwidth = measure === "bw";
  return {
    verb,
    measure,
    sizes: [isBandwidth ? 65_536 : 2],
    iterations: isBandwidth && verb === "write" ? 5000 : 1000,
    duration: null,
    queuePairs: 1,
    rxDepth: verb === "send" ? 512 : 1,
    txDepth: isBandwidth ? 128 : 1,
    cqMod: null,
    mtu: null,
    inlineBytes: null,
  };
}

/** Errors: BAD_ARGUMENT. */
export function checkPlan(plan: RdmaPerfPlan): void {
  const { sizes, iterations, duration, queuePairs, txDepth, rxDepth, cqMod, mtu } = plan;
  sizes.forEach((size) => {
    within("size", size);
  });
  if (iterations !== null) within("iterations", iterations);
  within("queuePairs", queuePairs);
  within("txDepth", txDepth);
  within("rxDepth", rxDepth);
  if (cqMod !== null) within("cqMod", cqMod);
  if (mtu !== null && ![256, 512, 1024, 2048, 4096].includes(mtu))
    throw new P2pError("BAD_ARGUMENT", `an MTU is 256, 512, 1024, 2048 or 4096 bytes, not ${mtu}`);
  if (duration !== null && sizes.length > 1)
    throw new P2pError("BAD_ARGUMENT", "a test of all sizes is ended by iterations, not by time");
  if (plan.measure === "lat" && queuePairs > 1)
    throw new P2pError("BAD_ARGUMENT", "latency is measured on one queue pair", {
      hint: "bw takes several",
    });
}

function within(what: keyof typeof LIMITS, value: number): void {
  const [least, most] = LIMITS[what];
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const names = {
    iterations: "the number of iterations",
    queuePairs: "the number of queue pairs",
    txDepth: "the send queue's depth",
    rxDepth: "the receive queue's depth",
    cqMod: "completion moderation",
    size: "the size of a message",
  };
  throw new P2pError("BAD_ARGUMENT", `${names[what]} is ${least} to ${most}, not ${value}`);
}

/** Above it each request asks for a completion, unless something else is said. */
const MODERATED_BYTES = 8192;
const DEFAULT_MODERATION = 100;

/** Of messages of one size. */
export interface Depths {
  /** Requests in flight on a queue pair. */
  readonly sends: number;
  /** Receives posted ahead on it. */
  readonly receives: number;
  readonly cqMod: number;
}

/**
 * Requests that messages which are answered leave in flight: what tells that they have completed is looked
 * for once for all of them.
 */
export const UNSETTLED = 15;

export function depthsOf(plan: RdmaPerfPlan, size: number): Depths {
  const most = plan.iterations ?? Infinity;
  const sends = Math.min(plan.txDepth, most);
  const moderation = plan.cqMod ?? (size > MODERATED_BYTES ? 1 : DEFAULT_MODERATION);
  return { sends, receives: Math.min(plan.rxDepth, most), cqMod: Math.min(moderation, sends) };
}

/** What perftest sends inline in a test of latency, where the device can. */
const INLINE: Readonly<Record<Verb, number>> = { write: 220, send: 236, read: 0 };

/**
 * Bytes that queue pairs are asked to take inline, at most. `isHost`: the messages are in host memory;
 * of other memory the CPU takes none, unless it is told to, which is refused.
 */
export function inlineBytesOf(
  { verb, measure, inlineBytes }: RdmaPerfPlan,
  isHost: boolean,
): number {
  if (verb === "read") return 0;
  return inlineBytes ?? (measure === "lat" && isHost ? INLINE[verb] : 0);
}

/**
 * Messages before those that count, on each queue pair: V8 has compiled the loop by then, and memory has
 * been touched. perftest, which is compiled, has none unless it is told so. Of bandwidth not many large
 * ones, in which the loop is of no account; of latency they are short, see Turns, and a few that count
 * wait for no more than ten times as many.
 */
const WARM_UP = 20_000;
const WARM_UP_BYTES = 2 ** 28;

export function warmUpOf({ measure, iterations }: RdmaTest, size: number): number {
  if (iterations === null) return 0;
  if (measure === "lat") return Math.min(WARM_UP, 10 * iterations);
  return Math.min(WARM_UP, iterations, Math.ceil(WARM_UP_BYTES / size));
}

/** Part of a test by time that does not count, at its begin and at its end. */
export const MARGIN = 1 / 4;

/** As in `ib_write_bw`: `write bw`. */
export function nameOf({ verb, measure }: Pick<RdmaTest, "verb" | "measure">): string {
  return `${verb} ${measure}`;
}

/** Of a write or a send both ways are measured together, of which one is half. */
export function roundTripDivisor({ verb }: RdmaTest): 1 | 2 {
  return verb === "read" ? 1 : 2;
}

/** What this side's thread does; null: nothing, the other side does all the work. */
export function loopKindOf({ verb, measure }: RdmaTest, role: SideRole): LoopKind | null {
  if (measure === "bw") {
    if (role === "client") return "send";
    return verb === "send" ? "receive" : null;
  }
  if (verb === "read") return role === "client" ? "read" : null;
  return verb === "write" ? "ping-pong-write" : "ping-pong-send";
}

/** Whether it is kept when messages were posted and had completed. */
export function keepsTimes({ measure, iterations }: RdmaTest): boolean {
  if (iterations === null) return false;
  return measure === "lat" || iterations <= MOST_FOR_PEAK;
}
