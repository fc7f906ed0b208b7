import { P2pError } from "../errors.js";
import { checkCpus } from "../io/check-run.js";
import { isRandom, PATTERNS } from "../perf/plan.js";
import { formatSize } from "../units.js";
import { formatKernelEndpoint, type KernelEndpoint } from "./endpoint.js";
import type { DiskPlace } from "./disks.js";
import type { KernelPlan } from "./plan.js";
import { readPercent, writesSources } from "./plan.js";
import { IORING_MAX_ENTRIES } from "./spec.js";
import type { KernelTarget } from "./target.js";

/** A target, and the part of it that is used: bytes. */
export interface CheckedRange {
  target: KernelTarget;
  offset: number;
  length: number;
}

/** What can be wrong with a plan before anything is opened. Errors: BAD_ARGUMENT, BAD_SIZE, WRITE_NOT_ALLOWED. */
export function checkKernelPlan(plan: KernelPlan): void {
  const { rw, sources, destination, bs, runtime, rampTime, rateIops, size } = plan;
  if (rw !== "copy" && !PATTERNS.includes(rw))
    throw bad(`there is no workload "${rw as string}"`, `there are copy, ${PATTERNS.join(", ")}`);
  if (rw === "copy" && (sources.length !== 1 || destination === null))
    throw bad("a copy has one source and one destination");
  if (sources.length === 0) throw bad("there is nothing to read or write");
  if (rw !== "copy" && destination !== null) throw bad(`${rw} has no destination`);
  for (const [what, value] of [
    ["iodepth", plan.iodepth],
    ["numjobs", plan.numjobs],
    ["loops", plan.loops],
  ] as const)
    if (!Number.isSafeInteger(value) || value < 1)
      throw bad(`${what} must be 1 or more, not ${value}`);
  if (plan.iodepth * sources.length > IORING_MAX_ENTRIES)
    throw bad(`iodepth must be ${Math.floor(IORING_MAX_ENTRIES / sources.length)} or less`);
  if (
    rw !== "copy" &&
    !(readPercent(rw, plan.rwmixread) >= 0 && readPercent(rw, plan.rwmixread) <= 100)
  )
    throw bad(`rwmixread must be 0 to 100, not ${plan.rwmixread}`);
  if (runtime !== null && !(runtime > 0 && runtime < Infinity))
    throw bad(`the runtime must be above 0 seconds, not ${runtime}`);
  if (!(rampTime >= 0 && rampTime < Infinity))
    throw bad(`the ramp time must be 0 seconds or more, not ${rampTime}`);
  if (rateIops !== null && !(rateIops > 0 && rateIops < Infinity))
    throw bad(`the rate must be above 0 I/Os a second, not ${rateIops}`);
  if (!Number.isSafeInteger(bs) || bs < 1) throw badSize("block size", bs);
  if (size !== null && (!Number.isSafeInteger(size) || size < 1)) throw badSize("size", size);
  if (!Number.isSafeInteger(plan.offset) || plan.offset < 0) throw badSize("offset", plan.offset);
  checkCpus(plan.cpusAllowed);
  checkAllowed(plan);
}

function bad(message: string, hint?: string): P2pError {
  return new P2pError("BAD_ARGUMENT", message, hint === undefined ? {} : { hint });
}

function badSize(what: string, value: number): P2pError {
  return new P2pError("BAD_SIZE", `the ${what} must be a whole number of bytes, not ${value}`);
}

function checkAllowed(plan: KernelPlan): void {
  const written: readonly KernelEndpoint[] = writesSources(plan)
    ? plan.sources
    : plan.destination === null
      ? []
      : [plan.destination];
  if (plan.allowWrite || written.length === 0) return;
  throw new P2pError("WRITE_NOT_ALLOWED", `writing to ${written[0]!.file} was not allowed`, {
    hint: "name it and add --allow-write (library: allowWrite: true)",
  });
}

/**
 * The parts of the targets that a plan uses: sources first, then the destination.
 * Errors: BAD_RANGE, UNALIGNED, OVERLAP.
 */
export function checkRanges(plan: KernelPlan, targets: readonly KernelTarget[]): CheckedRange[] {
  const own = targets.map((target) => roomOf(plan, target));
  const length = lengthOf(plan, targets, own);
  const ranges = targets.map((target, index) => {
    const range = {
      target,
      offset: target.endpoint.offset + plan.offset,
      length: length ?? own[index]!,
    };
    checkRange(plan, range, own[index]!);
    return range;
  });
  if (plan.rw === "copy") checkOverlap(ranges[0]!, ranges[1]!);
  return ranges;
}

/** Of all ranges: the size, else what the shortest has. Null: I/Os take ranges with lengths as they are. */
function lengthOf(
  { rw, size, mostSize = Infinity, runtime }: KernelPlan,
  targets: readonly KernelTarget[],
  own: readonly number[],
): number | null {
  if (size !== null) return size;
  const isNamed = targets.some(({ endpoint }) => endpoint.length !== undefined);
  if (mostSize < Infinity && !isNamed) return wholeBlocks(Math.min(...own, mostSize), targets);
  if (rw !== "copy" && isNamed) return null;
  // What a copy without a time has of its source it copies whole, or not at all.
  if (rw === "copy" && runtime === null) return own[0]!;
  return wholeBlocks(Math.min(...own), targets);
}

/** So much of a length as O_DIRECT takes of all targets. */
function wholeBlocks(length: number, targets: readonly KernelTarget[]): number {
  return length - (length % Math.max(...targets.map(({ blockSize }) => blockSize)));
}

/** Bytes from where the plan begins to the end of the endpoint's range. */
function roomOf(plan: KernelPlan, { endpoint, size }: KernelTarget): number {
  const { offset, length } = endpoint;
  if (offset + (length ?? 0) > size || offset >= size)
    throw new P2pError(
      "BAD_RANGE",
      `${formatKernelEndpoint(endpoint)} reaches past the end, which is at ${size} bytes (${formatSize(size)})`,
      { hint: "give a smaller offset or length" },
    );
  return (length ?? size - offset) - plan.offset;
}

function checkRange(
  plan: KernelPlan,
  { target, offset, length }: CheckedRange,
  room: number,
): void {
  const name = formatKernelEndpoint(target.endpoint);
  const { blockSize } = target;
  for (const [what, value] of [
    ["block size", plan.bs],
    ["offset", offset],
    ...(plan.rw === "copy" ? ([["size", length]] as const) : []),
  ] as const)
    if (value % blockSize !== 0)
      throw new P2pError(
        "UNALIGNED",
        `${what} ${value} is no multiple of the ${blockSize} bytes that O_DIRECT takes of ${name}`,
        { hint: `use multiples of ${blockSize} bytes` },
      );
  if (length > room || room <= 0)
    throw new P2pError(
      "BAD_RANGE",
      `${name} has ${Math.max(0, room)} bytes from offset ${plan.offset} on, fewer than ${length}`,
      { hint: "give a smaller size or offset" },
    );
  const least = plan.rw !== "copy" && isRandom(plan.rw) ? 1 : plan.numjobs;
  const ios = plan.rw === "copy" ? Math.ceil(length / plan.bs) : Math.floor(length / plan.bs);
  if (ios < least)
    throw new P2pError(
      "BAD_RANGE",
      `${name} has room for ${ios} I/Os of ${plan.bs} bytes, fewer than the ${least} that are needed`,
      { hint: "use a smaller block size, a longer range or fewer threads" },
    );
}

function checkOverlap(source: CheckedRange, destination: CheckedRange): void {
  const refusal = overlapOf(source, destination);
  if (refusal === null) return;
  const name = ({ target: { endpoint }, offset, length }: CheckedRange): string =>
    formatKernelEndpoint({ ...endpoint, offset, length });
  throw new P2pError(
    "OVERLAP",
    `source and destination ${refusal}: ${name(source)} and ${name(destination)}`,
    { hint: "move one of them, or give a smaller size" },
  );
}

/** A partition is a part of its disk, a volume of some, and a file lies somewhere on its file system's. */
function overlapOf(source: CheckedRange, destination: CheckedRange): string | null {
  const [one, other] = [source.target, destination.target];
  if (one.identity === other.identity) return meet(source, destination) ? "overlap" : null;
  if (!one.isDisk && !other.isDisk) return null;
  const [a, b] = [one.place, other.place];
  if (a === null || b === null) return null;
  const isShared =
    a.disk === b.disk
      ? meet(onDisk(source, a), onDisk(destination, b))
      : one.disks.has(b.disk) || other.disks.has(a.disk);
  return isShared ? "may overlap, since they are on the same disk" : null;
}

type Extent = Pick<CheckedRange, "offset" | "length">;

function meet(a: Extent, b: Extent): boolean {
  return a.offset < b.offset + b.length && b.offset < a.offset + a.length;
}

/** Where a range may be on its disk. */
function onDisk({ target, offset, length }: CheckedRange, place: DiskPlace): Extent {
  return target.isDisk
    ? { offset: place.start + offset, length }
    : { offset: place.start, length: place.length };
}
