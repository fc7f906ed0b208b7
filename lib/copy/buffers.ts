import type { Range } from "../extents/ranges.js";
import type { Provider } from "../p2pmem/provider.js";
import type { RevokeListener } from "../p2pmem/revocation.js";
import type { Bdf } from "../pci/bdf.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { tryAll } from "../try-all.js";
import type { HandoffJob } from "./job.js";
import type { CopyPlan } from "./plan.js";
import type { Slots } from "./slots.js";

/** The memory that a run's blocks rest in, one job's after the other's, and how either device addresses it. */
export interface SlotBuffers {
  /** Where the source writes, mapped for it; where the destination reads, mapped for that. */
  source: DmaVector;
  destination: DmaVector;
  /** Of all slots; see handoffOf(). */
  handoff: HandoffJob;
  /** The part of the provider that it is, in bytes; null without one. */
  peer: Range | null;
  /** No DMA may be in flight. */
  close: () => void;
}

/** What the handoff is to a job that has `count` slots from `first` on. */
export function handoffOf(handoff: HandoffJob, first: number, count: number): HandoffJob {
  if (handoff.kind !== "copy") return handoff;
  const { fromOffsets, toOffsets } = handoff;
  return {
    ...handoff,
    fromOffsets: fromOffsets.slice(first, first + count),
    toOffsets: toOffsets.slice(first, first + count),
  };
}

/**
 * `onRevoke`: called if the provider goes while the memory is held. Errors: NO_MEMORY, MEMLOCK;
 * NO_ROOM, where others have taken the provider's room meanwhile; those of ScatterList.map().
 */
export function openBuffers(
  session: Session,
  plan: CopyPlan,
  slots: Slots,
  onRevoke: RevokeListener,
): SlotBuffers {
  const opened: (() => void)[] = [];
  const close = (): void => {
    tryAll(opened.splice(0).reverse());
  };
  try {
    return { ...openPath(session, plan, slots, onRevoke, opened), close };
  } catch (error) {
    try {
      close();
    } catch {
      // What went wrong first is what there is to say.
    }
    throw error;
  }
}

function openPath(
  session: Session,
  { path, source, destination, provider }: CopyPlan,
  { jobs, count: slots, stride }: Slots,
  onRevoke: RevokeListener,
  opened: (() => void)[],
): Omit<SlotBuffers, "close"> {
  const count = jobs * slots;
  const size = count * stride;
  const map = (list: ScatterList, client: Bdf): DmaVector => {
    const vector = list.map(client);
    opened.push(() => {
      vector.unmap();
    });
    return vector;
  };
  if (path === "host" || provider === null) {
    const { list } = openHost(session, size, opened);
    return {
      source: map(list, source.device),
      destination: map(list, destination.device),
      handoff: { kind: "none" },
      peer: null,
    };
  }
  const peer = openPeer(session, provider, size, onRevoke, opened);
  const toId = provider.memory.id;
  if (path === "p2p")
    return {
      source: map(peer.list, source.device),
      destination: map(peer.list, destination.device),
      handoff: { kind: "flush", memoryId: toId, offset: peer.offset },
      peer: peer.range,
    };
  const host = openHost(session, size, opened);
  const fromOffsets = Float64Array.from({ length: count }, (_, slot) => slot * stride);
  const toOffsets = fromOffsets.map((place) => peer.offset + place);
  return {
    source: map(host.list, source.device),
    destination: map(peer.list, destination.device),
    handoff: { kind: "copy", fromId: host.memoryId, toId, fromOffsets, toOffsets },
    peer: peer.range,
  };
}

function openHost(
  session: Session,
  size: number,
  opened: (() => void)[],
): { list: ScatterList; memoryId: number } {
  const buffer = session.addressSpace.allocate(size, { huge: true });
  opened.push(() => {
    buffer.close();
  });
  const list = new ScatterList(session.addressSpace).addHost(buffer, 0, size);
  return { list, memoryId: buffer.memory.id };
}

function openPeer(
  session: Session,
  provider: Provider,
  size: number,
  onRevoke: RevokeListener,
  opened: (() => void)[],
): { list: ScatterList; offset: number; range: Range } {
  const allocation = provider.pool.alloc(size);
  opened.push(() => {
    provider.pool.free(allocation);
  });
  allocation.onRevoke(onRevoke);
  const { offset } = allocation;
  const list = new ScatterList(session.addressSpace).addPeer(provider, offset, size, allocation);
  return { list, offset, range: { start: offset, end: offset + allocation.length } };
}
