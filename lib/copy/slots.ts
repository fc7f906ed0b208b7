import { P2pError } from "../errors.js";
import { slotStride } from "../io/room.js";
import type { NvmeController } from "../nvme/controller.js";
import type { Provider } from "../p2pmem/provider.js";
import { formatSize } from "../units.js";
import { needsProvider, type CopyPlan } from "./plan.js";

/** How many blocks of a plan can be in flight, and the room that each takes. */
export interface Slots {
  /** Threads that share the work. */
  jobs: number;
  /** Blocks in flight, of each of them. */
  count: number;
  /** Bytes from one slot to the next. */
  stride: number;
  /** Why there are fewer than the plan asks for. */
  notes: string[];
}

/** What a job has on one of its queues. */
export interface Side {
  controller: NvmeController;
  /** Commands of one copy block. */
  commands: number;
}

/**
 * As many as the plan asks for, or as fit: jobs into the blocks of the range and the queues that the
 * controllers have left; blocks into the queues of both sides, since all commands of all blocks of a
 * job must find a place there, and into the provider. Errors: BAD_SIZE, NO_ROOM, where not even one
 * block does.
 */
export function fitSlots(plan: CopyPlan, sides: readonly Side[], length: number): Slots {
  const slots = {
    jobs: plan.jobs ?? 1,
    count: plan.iodepth,
    stride: slotStride(plan.bs, plan.registration),
    notes: [],
  };
  fitJobs(slots, Math.ceil(length / plan.bs), "the range has no more blocks");
  fitQueueCount(slots, sides);
  for (const side of sides) fitQueue(slots, plan, side);
  if (needsProvider(plan.path) && plan.provider !== null) fitProvider(slots, plan.provider);
  return slots;
}

function fitJobs(slots: Slots, most: number, why: string): void {
  if (most >= slots.jobs) return;
  slots.notes.push(`${most} ${most === 1 ? "job" : "jobs"}, not ${slots.jobs}: ${why}`);
  slots.jobs = most;
}

/** Of each controller a job takes a queue pair for each side. One is tried in any case. */
function fitQueueCount(slots: Slots, sides: readonly Side[]): void {
  const controllers = sides.map(({ controller }) => controller);
  for (const controller of new Set(controllers)) {
    const queues = controllers.filter((each) => each === controller).length;
    const most = Math.max(1, Math.floor(controller.freeQueuePairs / queues));
    fitJobs(slots, most, `${controller.address} has no more queues`);
  }
}

function fitQueue(slots: Slots, { bs }: CopyPlan, { controller, commands }: Side): void {
  const { address, maxQueueDepth } = controller;
  // A queue is full with one entry less than it has (NVMe 1.4 §4.1.1).
  const fit = Math.floor((maxQueueDepth - 1) / commands);
  if (fit === 0)
    throw new P2pError(
      "BAD_SIZE",
      `a block of ${bs} bytes takes ${commands} commands, more than a queue of ${address} holds`,
      { device: address, hint: "use a smaller block size" },
    );
  fitCount(slots, fit, `a queue of ${address} holds no more`);
}

function fitProvider(slots: Slots, provider: Provider): void {
  const room = provider.pool.largestFree;
  const fit = Math.floor(room / slots.stride);
  if (fit === 0)
    throw new P2pError(
      "NO_ROOM",
      `${provider.name} has ${formatSize(room)} free, too little for a block of ${formatSize(slots.stride)}`,
      { device: provider.fn.address, hint: "use a smaller block size or a larger provider" },
    );
  fitJobs(slots, fit, `${provider.name} has room for no more blocks`);
  fitCount(slots, Math.floor(fit / slots.jobs), `${provider.name} has room for no more`);
}

function fitCount(slots: Slots, most: number, why: string): void {
  if (most >= slots.count) return;
  const each = slots.jobs === 1 ? "" : " of each job";
  slots.notes.push(`${most} blocks in flight${each}, not ${slots.count}: ${why}`);
  slots.count = most;
}
