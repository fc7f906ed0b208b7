import { checkWritable, findNamespace } from "../io/namespaces.js";
import { formatEndpoint } from "../io/endpoint.js";
import type { Endpoint } from "../io/endpoint.js";
import { cmbRefusal } from "../cmb-memory.js";
import { checkRun } from "../io/check-run.js";
import { keptNotes } from "../io/registration.js";
import { commandBytes, slotStride, wholePages } from "../io/room.js";
import { P2pError } from "../errors.js";
import type { NvmeController } from "../nvme/controller.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import { checkMarked } from "./check-marked.js";
import { isMixed, isRandom, PATTERNS, readPercentOf, type PerfPlan } from "./plan.js";

/** What a run that has been checked goes by. */
export interface CheckedPerf {
  targets: CheckedTarget[];
  /** Threads. */
  jobs: number;
  /** I/Os in flight, for each target and thread: may be fewer than the plan asks for, see `notes`. */
  depth: number;
  /** Why something is not as the plan has it. */
  notes: string[];
}

/** A target that has been found and may be used so. */
export interface CheckedTarget {
  endpoint: Endpoint;
  namespace: NvmeNamespace;
  /** I/Os that its range has room for. */
  ios: number;
  /** Bytes that one command moves, at most. */
  commandBytes: number;
}

/**
 * Everything that can be wrong with a plan, looked at before any command is submitted.
 *
 * Errors: BAD_ARGUMENT, BAD_SIZE, WRITE_NOT_ALLOWED, UNKNOWN_DEVICE, NOT_NVME, NO_NAMESPACE,
 * METADATA_FORMAT, UNALIGNED, BAD_RANGE, UNSUPPORTED, NO_ABILITY; NOT_SUPPORTED, where a target does
 * not reach the provider, NO_ROOM, NO_QUEUE, REVOKED; and those of opening the devices.
 */
export async function checkPerf(session: Session, plan: PerfPlan): Promise<CheckedPerf> {
  checkPattern(plan);
  checkNumbers(plan);
  checkRun(plan);
  checkInterrupts(plan);
  if (readPercentOf(plan) < 100)
    for (const endpoint of plan.targets) checkWritable(session, plan, endpoint);
  const targets: CheckedTarget[] = [];
  for (const endpoint of plan.targets) targets.push(await checkTarget(session, plan, endpoint));
  const { provider = null, registration } = plan;
  const clients = plan.targets.map(({ device }) => device);
  for (const client of clients) provider?.mapTypeFor(client);
  checkQueues(plan, targets);
  const { depth, notes } = fitDepth(plan);
  if (plan.marks !== undefined) checkMarked(plan, targets, jobsOf(plan));
  if (registration === "each") notes.push(...keptNotes(provider, clients));
  return { targets, jobs: jobsOf(plan), depth, notes };
}

/** That each thread finds its queue pairs. One is tried in any case. Errors: NO_QUEUE. */
function checkQueues(plan: PerfPlan, targets: readonly CheckedTarget[]): void {
  const controllers = targets.map(({ namespace }) => namespace.controller);
  for (const controller of new Set(controllers)) {
    const own = controllers.filter((each) => each === controller).length;
    const needed = own * jobsOf(plan) * plan.queuePairs;
    const { address, freeQueuePairs: free } = controller;
    if (needed > Math.max(1, free))
      throw new P2pError(
        "NO_QUEUE",
        `${address} has ${free} I/O queue pairs left, fewer than the ${needed} that are needed`,
        { device: address, hint: "use fewer threads" },
      );
  }
}

/** As many I/Os in flight as there is room for in the provider. Errors: NO_ROOM. */
function fitDepth(plan: PerfPlan): Pick<CheckedPerf, "depth" | "notes"> {
  const { provider, depth, queuePairs, ioSize } = plan;
  const room = provider?.pool.largestFree ?? Infinity;
  let fit = depth;
  while (fit >= queuePairs && peerBytes(plan, fit) > room) fit--;
  if (fit === depth) return { depth, notes: [] };
  const { name, fn } = provider!;
  if (fit < queuePairs)
    throw new P2pError(
      "NO_ROOM",
      `${name} has ${formatSize(room)} free, too little for I/Os of ${formatSize(ioSize)} of each queue pair`,
      { device: fn.address, hint: "use smaller I/Os, fewer queue pairs or a larger provider" },
    );
  const note = `${fit} I/Os in flight of each target and job, not ${depth}: ${name} has room for no more`;
  return { depth: fit, notes: [note] };
}

/** What the I/Os of all queue pairs take of a provider, with so many in flight. */
export function peerBytes(plan: PerfPlan, depth: number): number {
  let bytes = 0;
  for (let i = 0; i < plan.queuePairs; i++)
    bytes += wholePages(
      buffersOf(plan, slotsOf(depth, plan.queuePairs, i)) *
        slotStride(plan.ioSize, plan.registration),
    );
  return jobsOf(plan) * plan.targets.length * bytes;
}

/** Buffers of so many slots: marks that are to be written must not be overwritten by what is read. */
export function buffersOf({ marks, pattern }: PerfPlan, slots: number): number {
  return marks !== undefined && isMixed(pattern) ? 2 * slots : slots;
}

/** The share of one queue pair in the depth, which is as even as it goes. */
export function slotsOf(depth: number, queuePairs: number, index: number): number {
  return Math.floor((depth + queuePairs - 1 - index) / queuePairs);
}

function jobsOf({ jobs, cpus = [] }: PerfPlan): number {
  return jobs ?? Math.max(1, cpus.length);
}

function checkPattern({ pattern, readPercent }: PerfPlan): void {
  if (!PATTERNS.includes(pattern))
    throw new P2pError("BAD_ARGUMENT", `there is no pattern "${pattern as string}"`, {
      hint: `there are ${PATTERNS.join(", ")}`,
    });
  if (readPercent === undefined) return;
  if (!isMixed(pattern))
    throw new P2pError("BAD_ARGUMENT", `a share of reads makes no sense for ${pattern}`, {
      hint: "use the pattern rw or randrw for both",
    });
  if (!(Number.isInteger(readPercent) && readPercent >= 0 && readPercent <= 100))
    throw new P2pError(
      "BAD_ARGUMENT",
      `the share of reads must be 0 to 100 percent, not ${readPercent}`,
    );
}

function checkNumbers(plan: PerfPlan): void {
  if (plan.targets.length === 0)
    throw new P2pError("BAD_ARGUMENT", "there is no namespace to measure");
  if (!Number.isSafeInteger(plan.ioSize) || plan.ioSize < 1)
    throw new P2pError("BAD_SIZE", `an I/O must have 1 byte or more, not ${plan.ioSize}`);
  for (const [what, value] of [
    ["depth", plan.depth],
    ["number of queue pairs", plan.queuePairs],
  ] as const)
    if (!Number.isSafeInteger(value) || value < 1)
      throw new P2pError("BAD_ARGUMENT", `the ${what} must be 1 or more, not ${value}`);
  if (plan.depth < plan.queuePairs)
    throw new P2pError(
      "BAD_ARGUMENT",
      `a depth of ${plan.depth} leaves some of ${plan.queuePairs} queue pairs without I/O`,
      { hint: "the depth is shared by a namespace's queue pairs: raise it, or use fewer of them" },
    );
  if (plan.runtime !== null && !(plan.runtime > 0 && plan.runtime < Infinity))
    throw new P2pError("BAD_ARGUMENT", `the time must be above 0 seconds, not ${plan.runtime}`);
  if (plan.size !== undefined && (!Number.isSafeInteger(plan.size) || plan.size < 1))
    throw new P2pError("BAD_SIZE", `the size must be 1 byte or more, not ${plan.size}`);
  if (!Number.isSafeInteger(plan.seed))
    throw new P2pError("BAD_ARGUMENT", `the seed must be a whole number, not ${plan.seed}`);
}

function checkInterrupts(plan: PerfPlan): void {
  if (plan.interrupts !== true) return;
  if ((plan.cpus ?? []).length > 0 || jobsOf(plan) > 1)
    throw new P2pError("BAD_ARGUMENT", "interrupts wake one thread, which is pinned to no core", {
      hint: "leave out the cores and the jobs, or poll",
    });
  if ((plan.rateIops ?? null) !== null)
    throw new P2pError("BAD_ARGUMENT", "a thread that sleeps until an interrupt keeps to no rate", {
      hint: "leave out the rate, or poll",
    });
}

async function checkTarget(
  session: Session,
  plan: PerfPlan,
  endpoint: Endpoint,
): Promise<CheckedTarget> {
  const namespace = await findNamespace(session, endpoint);
  namespace.assertPlainFormat();
  checkController(plan, namespace.controller);
  const { device } = endpoint;
  const name = `${device}/${endpoint.nsid}`;
  const { blockSize, size } = namespace;
  for (const [what, value, parameter] of [
    ["an I/O of", plan.ioSize, "bs"],
    ["the offset", endpoint.offset, "offset"],
  ] as const)
    if (value % blockSize !== 0)
      throw new P2pError(
        "UNALIGNED",
        `${what} ${value} bytes is no multiple of the ${blockSize} byte blocks of ${name}`,
        { device, hint: `use a multiple of ${blockSize} bytes`, parameter },
      );
  const available = endpoint.length ?? Math.max(0, size - endpoint.offset);
  const length = plan.size ?? available;
  if (endpoint.offset + available > size || length > available)
    throw new P2pError(
      "BAD_RANGE",
      `${formatEndpoint({ ...endpoint, length })} reaches past the end of ${name}, which has ${size} bytes (${formatSize(size)})`,
      { device, hint: "give a smaller offset or length" },
    );
  const ios = Math.floor(length / plan.ioSize);
  // Sequential I/O gives each thread a part of the range.
  const least = isRandom(plan.pattern) ? 1 : jobsOf(plan);
  if (ios < least)
    throw new P2pError(
      "BAD_RANGE",
      `${formatEndpoint({ ...endpoint, length })} has room for ${ios} I/Os of ${plan.ioSize} bytes, fewer than the ${least} that are needed`,
      { device, hint: "give a longer range, or smaller I/Os" },
    );
  const most = commandBytes(namespace, plan.ioSize);
  checkDepth(plan, namespace, Math.ceil(plan.ioSize / most));
  return { endpoint, namespace, ios, commandBytes: most };
}

/** Errors: UNSUPPORTED, NO_ABILITY. */
function checkController(plan: PerfPlan, controller: NvmeController): void {
  controller.dataPointers.choose(plan.descriptors).assertSupported();
  if (plan.sqInCmb !== true) return;
  const refusal = cmbRefusal(controller, { queue: true, lists: false });
  if (refusal === null) return;
  throw new P2pError("NO_ABILITY", refusal, {
    device: controller.address,
    hint: "leave out --sq-in-cmb; p2pmem list shows what each CMB holds",
  });
}

/** A queue is full with one entry less than it has (NVMe 1.4 §4.1.1). */
function checkDepth(
  { depth, queuePairs, ioSize }: PerfPlan,
  { controller }: NvmeNamespace,
  commands: number,
): void {
  const most = Math.floor((controller.maxQueueDepth - 1) / commands);
  if (Math.ceil(depth / queuePairs) <= most) return;
  throw new P2pError(
    "BAD_ARGUMENT",
    `a queue of ${controller.address} holds ${most} I/Os of ${ioSize} bytes, too few for a depth of ${depth} on ${queuePairs}`,
    {
      device: controller.address,
      hint: "use a smaller depth, or more queue pairs (-P)",
      parameter: "iodepth",
    },
  );
}
