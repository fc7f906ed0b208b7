import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { formatSize } from "../units.js";
import { P2pError } from "../errors.js";
import type { HandoffJob } from "./job.js";
import type { CopyPlan } from "./plan.js";

const PAGE = 4096;

/** The memory that a run's blocks rest in, and how either device addresses it. */
export interface SlotBuffers {
  /** Blocks in flight that there is room for. */
  slots: number;
  /** Bytes from one slot to the next. */
  stride: number;
  /** Where the source writes, mapped for it; where the destination reads, mapped for that. */
  source: DmaVector;
  destination: DmaVector;
  handoff: HandoffJob;
  notes: string[];
  /** No DMA may be in flight. */
  close: () => void;
}

/** Errors: NO_ROOM, where the provider has no room for one block; NO_MEMORY, MEMLOCK. */
export function openBuffers(session: Session, plan: CopyPlan, wanted: number): SlotBuffers {
  // Blocks of less than a page share one; others begin at one, which spares a PRP entry.
  const stride = plan.bs < PAGE ? plan.bs : Math.ceil(plan.bs / PAGE) * PAGE;
  const { source, destination } = plan;
  if (plan.path === "host" || plan.provider === null) {
    const host = openHost(session, stride * wanted);
    return {
      slots: wanted,
      stride,
      source: host.list.map(source.device),
      destination: host.list.map(destination.device),
      handoff: { kind: "none" },
      notes: [],
      close: host.close,
    };
  }
  const peer = openPeer(session, plan.provider, stride, wanted);
  const { slots, notes } = peer;
  if (plan.path === "p2p")
    return {
      slots,
      stride,
      source: peer.list.map(source.device),
      destination: peer.list.map(destination.device),
      handoff: { kind: "flush", memoryId: plan.provider.memory.id, offset: peer.offset },
      notes,
      close: peer.close,
    };
  try {
    const host = openHost(session, stride * slots);
    const places = Float64Array.from({ length: slots }, (_, slot) => slot * stride);
    return {
      slots,
      stride,
      source: host.list.map(source.device),
      destination: peer.list.map(destination.device),
      handoff: {
        kind: "copy",
        fromId: host.memoryId,
        toId: plan.provider.memory.id,
        fromOffsets: places,
        toOffsets: places.map((place) => peer.offset + place),
      },
      notes,
      close: () => {
        host.close();
        peer.close();
      },
    };
  } catch (error) {
    peer.close();
    throw error;
  }
}

function openHost(
  session: Session,
  size: number,
): { list: ScatterList; memoryId: number; close: () => void } {
  const buffer = session.addressSpace.allocate(size, { huge: true });
  return {
    list: new ScatterList(session.addressSpace).addHost(buffer, 0, size),
    memoryId: buffer.memory.id,
    close: () => {
      buffer.close();
    },
  };
}

function openPeer(
  session: Session,
  provider: Provider,
  stride: number,
  wanted: number,
): { list: ScatterList; slots: number; offset: number; notes: string[]; close: () => void } {
  const room = provider.pool.largestFree;
  const slots = Math.min(wanted, Math.floor(room / stride));
  if (slots === 0)
    throw new P2pError(
      "NO_ROOM",
      `${provider.name} has ${formatSize(room)} free, too little for a block of ${formatSize(stride)}`,
      { device: provider.fn.address, hint: "use a smaller block size or a larger provider" },
    );
  const allocation = provider.pool.alloc(slots * stride);
  const notes =
    slots < wanted
      ? [`${slots} blocks in flight, not ${wanted}: ${provider.name} has room for no more`]
      : [];
  return {
    list: new ScatterList(session.addressSpace).addPeer(
      provider,
      allocation.offset,
      slots * stride,
    ),
    slots,
    offset: allocation.offset,
    notes,
    close: () => {
      provider.pool.free(allocation);
    },
  };
}
