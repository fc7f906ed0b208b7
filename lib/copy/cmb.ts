/** Which queues and lists of a copy lie in the CMBs of its controllers, and whether there is room. */
import { cmbRefusal } from "../cmb-memory.js";
import { P2pError } from "../errors.js";
import { commandBytes } from "../io/room.js";
import { prpListBytes } from "../nvme/descriptors/prp.js";
import type { CmbUse } from "../nvme/memory/cmb.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { PAGE } from "../nvme/spec.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import type { CopyPlan } from "./plan.js";
import type { Slots } from "./slots.js";

/** One controller's part; null: all of it is in host memory. */
export type SideInCmb = (CmbUse & { readonly provider: Provider }) | null;

export interface CopyInCmb {
  readonly source: SideInCmb;
  readonly destination: SideInCmb;
  /** What a controller has not taken, and why. */
  readonly notes: readonly string[];
}

/**
 * Opens the CMB of each of the two controllers that can have there what the plan wants. Errors:
 * NO_ABILITY, which names the ability, where neither can; those of Session.provider().
 */
export async function openInCmb(
  session: Session,
  plan: CopyPlan,
  source: NvmeNamespace,
  destination: NvmeNamespace,
): Promise<CopyInCmb> {
  const isCopiedInside = plan.path === "nvme-copy";
  // A Copy command's source ranges are data: it has no lists.
  const use = {
    queue: plan.sqInCmb ?? false,
    lists: (plan.listsInCmb ?? false) && !isCopiedInside,
  };
  if (!use.queue && !use.lists) return { source: null, destination: null, notes: [] };
  const refusals = new Set<string>();
  const open = async ({ controller }: NvmeNamespace): Promise<SideInCmb> => {
    const refusal = cmbRefusal(controller, use);
    if (refusal === null)
      return { ...use, provider: await cmbOf(session, plan, controller.address) };
    refusals.add(refusal);
    return null;
  };
  const sides = {
    source: isCopiedInside ? null : await open(source),
    destination: await open(destination),
  };
  const reasons = [...refusals];
  if (sides.source === null && sides.destination === null)
    throw new P2pError("NO_ABILITY", reasons.join("; "), {
      device: source.controller.address,
      hint: reasons.some((reason) => reason.includes("CDPCILS"))
        ? "put the submission queues there, too: --sq-in-cmb with --lists-in-cmb"
        : "leave out --sq-in-cmb and --lists-in-cmb; p2pmem list shows what each CMB holds",
    });
  return { ...sides, notes: reasons.map((reason) => `not all in a CMB: ${reason}`) };
}

/** The plan's provider, if it is that CMB or part of it: else two would own the same bytes. */
function cmbOf(session: Session, { path, provider }: CopyPlan, device: string): Promise<Provider> {
  if (path !== "host" && provider?.fn.address === device && provider.range.kind === "cmb")
    return Promise.resolve(provider);
  return session.provider(`${device}/cmb`);
}

/**
 * For results: `src sq`, `src lists`, `dst sq`, `dst lists`. `hasLists`: whether a side has lists there,
 * which not every command needs.
 */
export function namesInCmb(
  { source, destination }: CopyInCmb,
  hasLists: (side: SideInCmb) => boolean,
): string[] {
  const names = (end: string, side: SideInCmb): string[] => [
    ...(side?.queue === true ? [`${end} sq`] : []),
    ...(hasLists(side) ? [`${end} lists`] : []),
  ];
  return [...names("src", source), ...names("dst", destination)];
}

/**
 * Fewer slots, if so many blocks have no room in the CMBs for their queues and lists, and the blocks
 * themselves where these lie there as well. Errors: NO_ROOM, where not even one block has.
 */
export function fitCmbs(
  slots: Slots,
  plan: CopyPlan,
  namespaces: { source: NvmeNamespace; destination: NvmeNamespace },
  inCmb: CopyInCmb,
): void {
  const tight = (): Provider | undefined =>
    [...new Set([inCmb.source?.provider, inCmb.destination?.provider])].find((provider) => {
      if (provider === undefined) return false;
      const blocks = plan.path !== "host" && plan.provider === provider ? slots.stride : 0;
      let bytes = slots.jobs * slots.count * blocks;
      for (const side of ["source", "destination"] as const)
        if (inCmb[side]?.provider === provider)
          bytes += slots.jobs * bytesInCmb(plan, namespaces[side], slots.count, inCmb[side]);
      return bytes > provider.pool.largestFree;
    });
  let full: Provider | undefined;
  for (let next = tight(); next !== undefined; next = tight()) {
    full = next;
    if (--slots.count === 0)
      throw new P2pError(
        "NO_ROOM",
        `${full.name} has ${formatSize(full.pool.largestFree)} free, too little for a block, its queue and its lists`,
        { device: full.fn.address, hint: "use a smaller block size, or leave them in host memory" },
      );
  }
  if (full !== undefined)
    slots.notes.push(
      `${slots.count} blocks in flight, not ${plan.iodepth}: ${full.name} has no room for more queues and lists`,
    );
}

/** Of one side of one job, with so many blocks in flight. */
function bytesInCmb(
  { bs }: CopyPlan,
  namespace: NvmeNamespace,
  count: number,
  { queue, lists }: CmbUse,
): number {
  const most = commandBytes(namespace, bs);
  const commands = count * Math.ceil(bs / most);
  let bytes = queue ? pages(namespace.controller.submissionQueueBytes(commands + 1)) : 0;
  // Once for whole blocks, and once for the last one of the range, which may be shorter.
  if (lists) bytes += 2 * pages(commands * prpListBytes(most));
  return bytes;
}

function pages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}
