import { closeSync } from "node:fs";
import type { NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import { peerPath } from "../pci/peer-path.js";
import type { NativeMemoryRegion, NativeProtectionDomain } from "../rdma-addon.js";
import type { PeerMemory, Perishable, Piece } from "../sgl/memory.js";
import type { ScatterList } from "../sgl/scatterlist.js";
import { tryAll } from "../try-all.js";
import { checkRegion } from "./access.js";
import type { RdmaDevice } from "./device.js";
import { MemoryRegion, type MemoryRegionParts } from "./memory-region.js";
import { QueuePair, type QueuePairOptions } from "./queue-pair.js";

/** As dma-bufs are made of. */
const PAGE = 4096;

/**
 * Memory regions and queue pairs that may use them: keys of one domain mean nothing in another
 * (InfiniBand 1.4 §10.2.3). Made by RdmaDevice.allocateDomain().
 */
export class ProtectionDomain {
  readonly device: RdmaDevice;
  readonly #native: NativeProtectionDomain;
  readonly #queuePairs = new Set<QueuePair>();
  readonly #regions = new Set<MemoryRegion>();
  readonly #onClosed: (domain: ProtectionDomain) => void;
  #isClosed = false;

  constructor(
    device: RdmaDevice,
    native: NativeProtectionDomain,
    onClosed: (domain: ProtectionDomain) => void,
  ) {
    this.device = device;
    this.#native = native;
    this.#onClosed = onClosed;
  }

  /**
   * Host memory, or that of one provider, which the device's driver imports as a dma-buf; `access`:
   * flags of Access. The region has a piece for each contiguous part of the list, and pins its memory.
   *
   * Errors: BAD_ARGUMENT (flags that exclude each other), BAD_RANGE (an empty list), REGION_TOO_LARGE,
   * NO_ODP, MEMLOCK, NO_MEMORY, RDMA_LIMIT, IO; GONE or NOT_ALLOCATED where the memory has gone. Of a
   * provider: REVOKED; NOT_SUPPORTED with the reason, where the kernel lets the device not reach it;
   * NO_DMABUF, where the device, its driver, or the provider's side can do no such thing; NO_ABILITY.
   */
  register(list: ScatterList, access: number): MemoryRegion {
    const { peer = null } = list;
    const target = peer === null ? "host" : "peer";
    const pieces = joined(list.pieces());
    if (pieces.length === 0) checkRegion(this.device, target, 0, access);
    for (const { length } of pieces) checkRegion(this.device, target, length, access);
    const memory = list.holders();
    for (const holder of memory) holder.assertUsable();
    if (peer !== null && peer.rdmaDevice !== this.device.name) this.#assertReaches(peer);
    return this.#hold(
      { target, memory, peer },
      pieces.map(
        (piece) => () =>
          "host" in piece
            ? this.#native.registerHost(piece.host.memory, piece.offset, piece.length, access)
            : this.#importPeer(piece.peer, piece.offset, piece.length, access),
      ),
    );
  }

  /**
   * Memory on this device itself that a provider has: no device need have it mapped. `holder`: the
   * allocation whose it is. Errors: BAD_ARGUMENT, BAD_RANGE, REGION_TOO_LARGE, RDMA_LIMIT, IO; REVOKED,
   * NOT_ALLOCATED.
   */
  registerOwn(
    peer: PeerMemory,
    { offset, length }: { offset: number; length: number },
    access: number,
    holder: Perishable,
  ): MemoryRegion {
    assertOffset(offset);
    checkRegion(this.device, "peer", length, access);
    holder.assertUsable();
    return this.#hold({ target: "peer", memory: [holder], peer }, [
      () => this.#native.registerHost(peer.memory, offset, length, access),
    ]);
  }

  /**
   * `length` bytes of memory from `offset` on: the user's, which no VFIO device need map, or the device's
   * own (NativeRdmaDevice.allocateMemory()). It may be closed meanwhile, and goes with the region. Errors:
   * BAD_ARGUMENT, BAD_RANGE, REGION_TOO_LARGE, NO_ODP, MEMLOCK, NO_MEMORY, RDMA_LIMIT, IO; NOT_REGISTERED,
   * of memory that the kernel does not pin.
   */
  registerMemory(
    memory: NativeMemory,
    offset: number,
    length: number,
    access: number,
  ): MemoryRegion {
    const target = memory.kind === "host" ? "host" : "device";
    assertOffset(offset);
    checkRegion(this.device, target, length, access);
    return this.#hold({ target, memory: [], peer: null }, [
      () => this.#native.registerHost(memory, offset, length, access),
    ]);
  }

  /**
   * A part of a dma-buf that the user brings, of a GPU for example. The descriptor stays the caller's, and
   * may be closed at once. The first byte's address is `offset`. Errors: BAD_ARGUMENT, BAD_RANGE,
   * REGION_TOO_LARGE, NO_DMABUF, BAD_DMABUF, RDMA_LIMIT, IO.
   */
  registerDmabuf(fd: number, offset: number, length: number, access: number): MemoryRegion {
    assertOffset(offset);
    checkRegion(this.device, "dmabuf", length, access);
    return this.#hold({ target: "dmabuf", memory: [], peer: null }, [
      () => this.#native.registerDmabuf(fd, offset, length, BigInt(offset), access, null),
    ]);
  }

  /** Errors: RDMA_LIMIT (more than the device has), IO. */
  createQueuePair(options: QueuePairOptions): QueuePair {
    const queuePair = QueuePair.create(this.#native, options, (closed) => {
      this.#queuePairs.delete(closed);
    });
    this.#queuePairs.add(queuePair);
    return queuePair;
  }

  /**
   * With all that was made of it: queue pairs, then regions. Idempotent. Errors: those of what could not be
   * closed, with which it stays: close() may be called again.
   */
  close(): void {
    if (this.#isClosed) return;
    tryAll(
      [...this.#queuePairs, ...this.#regions].map((made) => () => {
        made.close();
      }),
    );
    this.#native.close();
    this.#isClosed = true;
    this.#onClosed(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Registers piece by piece: all, or none. */
  #hold(
    parts: Pick<MemoryRegionParts, "target" | "memory" | "peer">,
    pieces: readonly (() => NativeMemoryRegion)[],
  ): MemoryRegion {
    const natives: NativeMemoryRegion[] = [];
    try {
      for (const register of pieces) natives.push(register());
      const region = new MemoryRegion({
        ...parts,
        natives,
        onInvalidated: () => {
          this.#failQueuePairs();
        },
        onClosed: (closed) => {
          this.#regions.delete(closed);
        },
      });
      this.#regions.add(region);
      return region;
    } catch (error) {
      for (const native of natives) native.close();
      throw error;
    }
  }

  #failQueuePairs(): void {
    tryAll(
      [...this.#queuePairs].map((queuePair) => () => {
        queuePair.toError();
      }),
    );
  }

  /**
   * The device stays with its kernel driver, so it is the kernel that decides whether it reaches the
   * provider (drivers/pci/p2pdma.c); what is not known for certain is left to it. Errors: NO_DMABUF,
   * NOT_SUPPORTED.
   */
  #assertReaches(peer: PeerMemory): void {
    const { name, fn } = this.device;
    if (fn === null)
      throw new P2pError(
        "NO_DMABUF",
        `${name} reaches no peer memory: there is no PCI function behind it`,
        { device: name, hint: "stage in host memory, or use a NIC on PCIe" },
      );
    const { mapType, reason } = peerPath(peer.addressSpace.tree, peer.fn, fn).kernel;
    if (mapType === "NOT_SUPPORTED")
      throw new P2pError(
        "NOT_SUPPORTED",
        `the kernel lets ${name} (${fn.address}) not reach ${peer.name}: ${reason}`,
        { device: name, hint: "use another provider, or stage in host memory" },
      );
  }

  /** Its own memory it registers as such. Of a dma-buf, which has whole pages, what was asked for. */
  #importPeer(
    peer: PeerMemory,
    offset: number,
    length: number,
    access: number,
  ): NativeMemoryRegion {
    if (peer.rdmaDevice === this.device.name)
      return this.#native.registerHost(peer.memory, offset, length, access);
    const inPage = offset % PAGE;
    const pages = Math.ceil((inPage + length) / PAGE) * PAGE;
    const fd = peer.exportDmabuf(offset - inPage, pages);
    try {
      const address = BigInt(peer.iova + offset);
      return this.#native.registerDmabuf(fd, inPage, length, address, access, null);
    } finally {
      closeSync(fd);
    }
  }
}

/** Errors: BAD_RANGE. */
function assertOffset(offset: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0)
    throw new P2pError("BAD_RANGE", `a memory region begins at no offset ${offset}`);
}

/** Pieces of which none goes on where the one before it ends. */
function joined(pieces: Iterable<Piece>): Piece[] {
  const found: Piece[] = [];
  for (const piece of pieces) {
    const last = found.at(-1);
    if (last !== undefined && goesOn(last, piece))
      found[found.length - 1] = { ...last, length: last.length + piece.length };
    else found.push(piece);
  }
  return found;
}

function goesOn(a: Piece, b: Piece): boolean {
  const isSame = "host" in a ? "host" in b && a.host === b.host : "peer" in b && a.peer === b.peer;
  return isSame && a.offset + a.length === b.offset;
}
