import { addon, type NativeMemory } from "../addon.js";
import type { Range } from "../extents/ranges.js";
import { keepsAddress, type RegisteredMemory } from "../io/registration.js";
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
  /** Where the source writes, and where the destination reads. */
  source: SideMemory;
  destination: SideMemory;
  /** Of all slots; see handoffOf(). */
  handoff: HandoffJob;
  /** The part of the provider that it is, in bytes; null without one. */
  peer: Range | null;
  /** No DMA may be in flight. */
  close: () => void;
}

/** The memory of all slots, for one side. */
export interface SideMemory extends RegisteredMemory {
  /** Mapped for the side's device; null where that is done for each I/O. */
  vector: DmaVector | null;
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
  { path, source, destination, provider, registration }: CopyPlan,
  { jobs, count: slots, stride }: Slots,
  onRevoke: RevokeListener,
  opened: (() => void)[],
): Omit<SlotBuffers, "close"> {
  const count = jobs * slots;
  const size = count * stride;
  const isMapped = registration !== "each";
  const side = ({ list, memory, offset, peer }: Place, client: Bdf): SideMemory => {
    const iova = peer !== null && keepsAddress(peer, client) ? peer.iova + offset : null;
    const vector = list?.map(client) ?? null;
    if (vector !== null)
      opened.push(() => {
        vector.unmap();
      });
    return { memory, offset, iova, vector };
  };
  if (path === "host" || provider === null) {
    const host = openHost(session, size, isMapped, opened);
    return {
      source: side(host, source.device),
      destination: side(host, destination.device),
      handoff: { kind: "none" },
      peer: null,
    };
  }
  const peer = openPeer(session, provider, size, isMapped, onRevoke, opened);
  const toId = provider.memory.id;
  if (path === "p2p")
    return {
      source: side(peer, source.device),
      destination: side(peer, destination.device),
      handoff: { kind: "flush", memoryId: toId, offset: peer.offset },
      peer: peer.range,
    };
  const host = openHost(session, size, isMapped, opened);
  const fromOffsets = Float64Array.from({ length: count }, (_, slot) => slot * stride);
  const toOffsets = fromOffsets.map((place) => peer.offset + place);
  return {
    source: side(host, source.device),
    destination: side(peer, destination.device),
    handoff: { kind: "copy", fromId: host.memory.id, toId, fromOffsets, toOffsets },
    peer: peer.range,
  };
}

/** Memory, and the list by which all of it is mapped; null where that is done for each I/O. */
interface Place {
  memory: NativeMemory;
  offset: number;
  list: ScatterList | null;
  /** Whose it is; null: the host's. */
  peer: Provider | null;
}

function openHost(
  { addressSpace }: Session,
  size: number,
  isMapped: boolean,
  opened: (() => void)[],
): Place {
  if (!isMapped) {
    const memory = addon().allocatePinned(size, true);
    opened.push(() => {
      memory.close();
    });
    return { memory, offset: 0, list: null, peer: null };
  }
  const buffer = addressSpace.allocate(size, { huge: true });
  opened.push(() => {
    buffer.close();
  });
  const list = new ScatterList(addressSpace).addHost(buffer, 0, size);
  return { memory: buffer.memory, offset: 0, list, peer: null };
}

function openPeer(
  { addressSpace }: Session,
  provider: Provider,
  size: number,
  isMapped: boolean,
  onRevoke: RevokeListener,
  opened: (() => void)[],
): Place & { range: Range } {
  const allocation = provider.pool.alloc(size);
  opened.push(() => {
    provider.pool.free(allocation);
  });
  allocation.onRevoke(onRevoke);
  const { offset } = allocation;
  const list = isMapped
    ? new ScatterList(addressSpace).addPeer(provider, offset, size, allocation)
    : null;
  const range = { start: offset, end: offset + allocation.length };
  return { memory: provider.memory, offset, list, range, peer: provider };
}
