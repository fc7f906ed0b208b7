import { P2pError } from "../errors.js";
import { checkRun } from "../io/check-run.js";
import { formatEndpoint, type Endpoint } from "../io/endpoint.js";
import { checkWritable, findNamespace } from "../io/namespaces.js";
import { keptNotes } from "../io/registration.js";
import { commandBytes } from "../io/room.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Bdf } from "../pci/bdf.js";
import { PROVIDER_FORM } from "../p2pmem/provider-name.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import { fitCmbs, openInCmb, type CopyInCmb } from "./cmb.js";
import { shapeOf } from "./nvme-copy/shape.js";
import { COPY_PATHS, needsProvider, type CopyPlan } from "./plan.js";
import { fitSlots, type Side, type Slots } from "./slots.js";

/** The same number of bytes in two namespaces that have been found and may be used so. */
export interface CheckedRanges {
  source: NvmeNamespace;
  destination: NvmeNamespace;
  /** Bytes of either range. */
  length: number;
}

/** What a copy that has been checked goes by. */
export interface CheckedPlan extends CheckedRanges {
  slots: Slots;
  inCmb: CopyInCmb;
}

/**
 * Everything that can be wrong with a copy, looked at before any command is submitted.
 *
 * Errors: WRITE_NOT_ALLOWED; UNSUPPORTED, where the path nvme-copy is not there; and those of
 * {@link checkRanges}, {@link openInCmb}, {@link fitSlots} and {@link fitCmbs}.
 */
export async function checkPlan(session: Session, plan: CopyPlan): Promise<CheckedPlan> {
  checkWritable(session, plan, plan.destination);
  const ranges = await checkRanges(session, plan);
  const { source, destination, length } = ranges;
  const inCmb = await openInCmb(session, plan, source, destination);
  const slots = fitSlots(plan, sidesOf(plan, source, destination), length);
  if (plan.registration === "each") slots.notes.push(...keptNotes(plan.provider, clientsOf(plan)));
  fitCmbs(slots, plan, ranges, inCmb);
  return { ...ranges, slots, inCmb };
}

function sidesOf(
  { path, bs }: CopyPlan,
  source: NvmeNamespace,
  destination: NvmeNamespace,
): Side[] {
  if (path === "nvme-copy") {
    const { commands } = shapeOf(source, destination, bs);
    return [{ controller: destination.controller, commands }];
  }
  return [source, destination].map((namespace) => ({
    controller: namespace.controller,
    commands: Math.ceil(bs / commandBytes(namespace, bs)),
  }));
}

/**
 * The same for what only reads.
 *
 * Errors: BAD_ARGUMENT, BAD_SIZE, UNKNOWN_DEVICE, NOT_NVME, NO_NAMESPACE, NO_PROVIDER,
 * METADATA_FORMAT, UNALIGNED, BAD_RANGE, OVERLAP, NOT_SUPPORTED, UNSUPPORTED, REVOKED; and those of opening the devices.
 */
export async function checkRanges(session: Session, plan: CopyPlan): Promise<CheckedRanges> {
  checkNumbers(plan);
  const source = await findNamespace(session, plan.source);
  const destination = await findNamespace(session, plan.destination);
  source.assertPlainFormat();
  destination.assertPlainFormat();
  checkOffset(plan.source, source);
  checkOffset(plan.destination, destination);
  const length = rangeLength(plan, source, destination);
  checkAlignment(plan, plan.source, source, length);
  checkAlignment(plan, plan.destination, destination, length);
  checkRange(plan.source, source, length);
  checkRange(plan.destination, destination, length);
  checkOverlap(plan, length);
  checkReach(plan);
  for (const { controller } of [source, destination])
    controller.dataPointers.choose(plan.descriptors).assertSupported();
  return { source, destination, length };
}

function checkNumbers(plan: CopyPlan): void {
  // From JavaScript anything may come, and an unknown path must not run as one of the known ones.
  if (!COPY_PATHS.includes(plan.path))
    throw new P2pError("BAD_ARGUMENT", `there is no path "${plan.path as string}"`, {
      hint: `there are ${COPY_PATHS.join(", ")}`,
    });
  if (!Number.isSafeInteger(plan.iodepth) || plan.iodepth < 1)
    throw new P2pError("BAD_ARGUMENT", `iodepth must be 1 or more, not ${plan.iodepth}`);
  checkRun(plan);
  checkRegistration(plan);
  if (!Number.isSafeInteger(plan.bs) || plan.bs < 1)
    throw new P2pError("BAD_SIZE", `the block size must be 1 byte or more, not ${plan.bs}`);
  checkBytes("size", plan.size);
  for (const [side, { offset, length }] of [
    ["source", plan.source],
    ["destination", plan.destination],
  ] as const) {
    checkBytes(`${side}'s offset`, offset);
    checkBytes(`${side}'s length`, length);
  }
  if (plan.runtime !== undefined && !(plan.runtime > 0 && plan.runtime < Infinity))
    throw new P2pError("BAD_ARGUMENT", `the runtime must be above 0 seconds, not ${plan.runtime}`);
  if (needsProvider(plan.path) && plan.provider === null)
    throw new P2pError("NO_PROVIDER", `the path ${plan.path} needs a device that provides memory`, {
      hint: `name one: --provider ${PROVIDER_FORM}`,
    });
}

function checkBytes(what: string, value: number | undefined): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return;
  throw new P2pError(
    "BAD_SIZE",
    `the ${what} must be a whole number of bytes, 0 or more, not ${value}`,
  );
}

function checkAlignment(
  plan: CopyPlan,
  { device, nsid, offset }: Endpoint,
  { blockSize }: NvmeNamespace,
  length: number,
): void {
  for (const [what, value, parameter] of [
    ["block size", plan.bs, "bs"],
    ["offset", offset, "offset"],
    ["size", length, "size"],
  ] as const)
    if (value % blockSize !== 0)
      throw new P2pError(
        "UNALIGNED",
        `${what} ${value} is no multiple of the ${blockSize} byte blocks of ${device}/${nsid}`,
        { device, hint: `use multiples of ${blockSize} bytes`, parameter },
      );
}

/**
 * The plan's size wins, then a length at an endpoint. Else a copy is of all that the source has from
 * its offset on, and a timed run uses as much as both have.
 */
function rangeLength(plan: CopyPlan, source: NvmeNamespace, destination: NvmeNamespace): number {
  const stated = plan.size ?? plan.source.length ?? plan.destination.length;
  if (stated !== undefined) return stated;
  const available = source.size - plan.source.offset;
  if (plan.runtime === undefined) return available;
  const blockSize = Math.max(source.blockSize, destination.blockSize);
  const shorter = Math.min(available, destination.size - plan.destination.offset);
  return shorter - (shorter % blockSize);
}

/** Before the length, which may be what there is from here on. */
function checkOffset({ device, nsid, offset }: Endpoint, namespace: NvmeNamespace): void {
  if (offset < namespace.size) return;
  throw new P2pError(
    "BAD_RANGE",
    `offset ${offset} is past the end of ${device}/${nsid}, which has ${namespace.size} bytes (${formatSize(namespace.size)})`,
    { device, hint: "give a smaller offset" },
  );
}

function checkRange(endpoint: Endpoint, namespace: NvmeNamespace, length: number): void {
  const { device, nsid, offset } = endpoint;
  const refuse = (message: string, hint: string): P2pError =>
    new P2pError("BAD_RANGE", message, { device, hint });
  if (offset + length > namespace.size)
    throw refuse(
      `${formatEndpoint({ device, nsid, offset, length })} reaches past the end of ${device}/${nsid}, which has ${namespace.size} bytes (${formatSize(namespace.size)})`,
      "give a smaller size or offset",
    );
  if (endpoint.length !== undefined && length > endpoint.length)
    throw refuse(
      `${length} bytes are more than the ${endpoint.length} of ${formatEndpoint(endpoint)}`,
      "give a smaller size or a longer range",
    );
  if (length <= 0) throw refuse("there is nothing to copy: the size is 0", "give a size above 0");
}

/** That the devices which address the peer's memory do reach it. */
function checkReach(plan: CopyPlan): void {
  const { path, provider } = plan;
  if (!needsProvider(path) || provider === null) return;
  for (const client of clientsOf(plan)) provider.mapTypeFor(client);
}

/** The devices that address the peer's memory. */
function clientsOf({ path, source, destination }: CopyPlan): Bdf[] {
  if (!needsProvider(path)) return [];
  return [...(path === "p2p" ? [source.device] : []), destination.device];
}

/** Whether there is memory to map for each I/O, and lists that can be built for it. */
function checkRegistration({ path, registration, listsInCmb }: CopyPlan): void {
  if (registration !== "each") return;
  if (path === "nvme-copy")
    throw new P2pError("BAD_ARGUMENT", "the path nvme-copy has no memory to map for each I/O", {
      hint: "use the registration once",
      parameter: "registration",
    });
  if (listsInCmb === true)
    throw new P2pError("BAD_ARGUMENT", "lists that are built for each I/O lie in host memory", {
      hint: "leave the lists out of the CMB, or use the registration once",
      parameter: "lists_in_cmb",
    });
}

function checkOverlap({ source, destination }: CopyPlan, length: number): void {
  if (source.device !== destination.device || source.nsid !== destination.nsid) return;
  if (Math.abs(source.offset - destination.offset) >= length) return;
  throw new P2pError(
    "OVERLAP",
    `source and destination overlap: ${formatEndpoint({ ...source, length })} and ${formatEndpoint({ ...destination, length })}`,
    { device: source.device, hint: "move one of them, or give a smaller size" },
  );
}
