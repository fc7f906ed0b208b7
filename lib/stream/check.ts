import { P2pError } from "../errors.js";
import { checkRun } from "../io/check-run.js";
import { checkWritable, findNamespace } from "../io/namespaces.js";
import { commandBytes, slotStride } from "../io/room.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import { STAGINGS, type StreamEndPlan } from "./plan.js";
import { requestsOf } from "./requests.js";

/** InfiniBand 1.4 §9.3.2: a message has up to 2 GiB. */
const MAX_BLOCK = 2 ** 31;

/** What an end of a stream that has been checked goes by. Sizes in bytes. */
export interface CheckedEnd {
  namespace: NvmeNamespace;
  /** Of the range: so many, of which the last may be shorter. */
  blocks: number;
  /** The one to begin with. */
  first: number;
  lastBlockBytes: number;
  /** Of a command, at most. */
  commandBytes: number;
  /** Blocks in flight, and from one to the next. */
  slots: number;
  stride: number;
  /** Why there are fewer than the plan asks for. */
  notes: string[];
}

/**
 * Everything that can be wrong with one end of a stream, looked at before any command is submitted.
 *
 * Errors: BAD_ARGUMENT, BAD_SIZE, WRITE_NOT_ALLOWED, UNKNOWN_DEVICE, NOT_NVME, NO_NAMESPACE,
 * METADATA_FORMAT, UNALIGNED, BAD_RANGE, UNSUPPORTED, REGION_TOO_LARGE; and those of opening the device.
 */
export async function checkEnd(session: Session, plan: StreamEndPlan): Promise<CheckedEnd> {
  checkNumbers(plan);
  const { endpoint, bs, size } = plan;
  if (plan.role === "destination") checkWritable(session, plan, endpoint);
  const namespace = await findNamespace(session, endpoint);
  namespace.assertPlainFormat();
  checkPlace(plan, namespace);
  namespace.controller.dataPointers.choose(undefined).assertSupported();
  const blocks = Math.ceil(size / bs);
  const most = commandBytes(namespace, bs);
  const notes: string[] = [];
  return {
    ...{ namespace, blocks, first: plan.first ?? 0, commandBytes: most },
    lastBlockBytes: size - (blocks - 1) * bs,
    ...{ slots: fitSlots(plan, namespace, Math.ceil(bs / most), notes) },
    ...{ stride: slotStride(bs), notes },
  };
}

function checkNumbers(plan: StreamEndPlan): void {
  const { role, staging, iodepth, bs, size, first = 0, runtime } = plan;
  // From JavaScript anything may come.
  if (!["source", "destination"].includes(role))
    throw new P2pError("BAD_ARGUMENT", `an end is source or destination, not "${role as string}"`);
  if (!STAGINGS.includes(staging))
    throw new P2pError("BAD_ARGUMENT", `there is no staging "${staging as string}"`, {
      hint: `there are ${STAGINGS.join(", ")}`,
    });
  if (!Number.isSafeInteger(iodepth) || iodepth < 1)
    throw new P2pError("BAD_ARGUMENT", `iodepth must be 1 or more, not ${iodepth}`);
  checkRun(plan);
  if (runtime !== undefined && !(runtime > 0 && runtime < Infinity))
    throw new P2pError("BAD_ARGUMENT", `the runtime must be above 0 seconds, not ${runtime}`);
  if (!Number.isSafeInteger(bs) || bs < 1 || bs > MAX_BLOCK)
    throw new P2pError("BAD_SIZE", `the block size must be 1 byte to 2 GiB, not ${bs}`);
  if (!Number.isSafeInteger(size) || size < 1)
    throw new P2pError("BAD_SIZE", `the size must be 1 byte or more, not ${size}`);
  const blocks = Math.ceil(size / bs);
  if (!Number.isSafeInteger(first) || first < 0 || first > blocks)
    throw new P2pError("BAD_ARGUMENT", `the first block is 0 to ${blocks}, not ${first}`);
}

function checkPlace({ endpoint, bs, size }: StreamEndPlan, namespace: NvmeNamespace): void {
  const { device, nsid, offset } = endpoint;
  const { blockSize } = namespace;
  for (const [what, value, parameter] of [
    ["block size", bs, "bs"],
    ["offset", offset, "offset"],
    ["size", size, "size"],
  ] as const)
    if (value % blockSize !== 0)
      throw new P2pError(
        "UNALIGNED",
        `${what} ${value} is no multiple of the ${blockSize} byte blocks of ${device}/${nsid}`,
        { device, hint: `use multiples of ${blockSize} bytes`, parameter },
      );
  if (offset + size > namespace.size)
    throw new P2pError(
      "BAD_RANGE",
      `${size} bytes from offset ${offset} reach past the end of ${device}/${nsid}, which has ${namespace.size} bytes (${formatSize(namespace.size)})`,
      { device, hint: "give a smaller size or offset" },
    );
}

/**
 * As many as the plan asks for, or as the queues of both devices have room for and the NIC registers at
 * once. Errors: BAD_SIZE, REGION_TOO_LARGE.
 */
function fitSlots(
  { iodepth, bs, rdma }: StreamEndPlan,
  { controller }: NvmeNamespace,
  commands: number,
  notes: string[],
): number {
  const { address, maxQueueDepth } = controller;
  // A queue is full with one entry less than it has (NVMe 1.4 §4.1.1).
  const fit = Math.floor((maxQueueDepth - 1) / commands);
  if (fit === 0)
    throw new P2pError(
      "BAD_SIZE",
      `a block of ${bs} bytes takes ${commands} commands, more than a queue of ${address} holds`,
      { device: address, hint: "use a smaller block size" },
    );
  const most = Math.floor(Number(rdma.attributes.maxRegionBytes) / slotStride(bs));
  if (most === 0)
    throw new P2pError(
      "REGION_TOO_LARGE",
      `${rdma.name} registers up to ${rdma.attributes.maxRegionBytes} bytes at once, too little for a block of ${bs}`,
      { device: rdma.name, hint: "use a smaller block size" },
    );
  let slots = iodepth;
  const limit = (most: number, why: string): void => {
    if (most >= slots) return;
    notes.push(`${most} blocks in flight, not ${slots}: ${why}`);
    slots = most;
  };
  limit(fit, `a queue of ${address} holds no more`);
  limit(most, `${rdma.name} registers no more at once`);
  const { maxQueueEntries, maxCompletionEntries } = rdma.attributes;
  const each = requestsOf(1);
  limit(
    Math.max(
      1,
      Math.floor(
        Math.min(maxQueueEntries / each.sends, maxCompletionEntries / each.completions) / 2,
      ),
    ),
    `a queue pair of ${rdma.name} holds no more`,
  );
  return slots;
}
