import { P2pError } from "../errors.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { MAX_BLOCKS } from "../nvme/spec.js";
import type { Provider } from "../p2pmem/provider.js";
import { formatSize } from "../units.js";
import type { CopyPlan } from "./plan.js";

const PAGE = 4096;

/** How many blocks of a plan can be in flight, and the room that each takes. */
export interface Slots {
  count: number;
  /** Bytes from one slot to the next. */
  stride: number;
  /** Why there are fewer than the plan asks for. */
  notes: string[];
}

/** Blocks of less than a page share one; others begin at one, which spares a PRP entry. */
export function slotStride(bs: number): number {
  return bs < PAGE ? bs : Math.ceil(bs / PAGE) * PAGE;
}

/** Bytes of a block that one command to `namespace` moves, at most. */
export function commandBytes({ blockSize, controller }: NvmeNamespace, bs: number): number {
  const most = Math.min(controller.maxTransfer, MAX_BLOCKS * blockSize);
  return Math.min(bs, most - (most % blockSize));
}

/**
 * As many as the plan asks for, or as fit: into the queues of both sides, since all commands of all
 * blocks must find a place there, and into the provider. Errors: BAD_SIZE, NO_ROOM, where not even
 * one block does.
 */
export function fitSlots(plan: CopyPlan, namespaces: readonly NvmeNamespace[]): Slots {
  const slots = { count: plan.iodepth, stride: slotStride(plan.bs), notes: [] };
  for (const namespace of namespaces) fitQueue(slots, plan, namespace);
  if (plan.path !== "host" && plan.provider !== null) fitProvider(slots, plan, plan.provider);
  return slots;
}

function fitQueue(slots: Slots, { bs, iodepth }: CopyPlan, namespace: NvmeNamespace): void {
  const { address, maxQueueDepth } = namespace.controller;
  const commands = Math.ceil(bs / commandBytes(namespace, bs));
  // A queue is full with one entry less than it has (NVMe 1.4 §4.1.1).
  const fit = Math.floor((maxQueueDepth - 1) / commands);
  if (fit === 0)
    throw new P2pError(
      "BAD_SIZE",
      `a block of ${bs} bytes takes ${commands} commands, more than a queue of ${address} holds`,
      { device: address, hint: "use a smaller block size" },
    );
  if (fit >= slots.count) return;
  slots.count = fit;
  slots.notes.push(`${fit} blocks in flight, not ${iodepth}: a queue of ${address} holds no more`);
}

function fitProvider(slots: Slots, { iodepth }: CopyPlan, provider: Provider): void {
  const room = provider.pool.largestFree;
  const fit = Math.floor(room / slots.stride);
  if (fit === 0)
    throw new P2pError(
      "NO_ROOM",
      `${provider.name} has ${formatSize(room)} free, too little for a block of ${formatSize(slots.stride)}`,
      { device: provider.fn.address, hint: "use a smaller block size or a larger provider" },
    );
  if (fit >= slots.count) return;
  slots.count = fit;
  slots.notes.push(
    `${fit} blocks in flight, not ${iodepth}: ${provider.name} has room for no more`,
  );
}
