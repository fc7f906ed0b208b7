import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import { checkLimits, type DmaClient, type DmaLimits } from "./dma-client.js";
import { DmaVector } from "./dma-vector.js";
import type { PeerMemory, Perishable, Piece, Segment } from "./memory.js";
import { joinAndCut, Segments } from "./segments.js";

/**
 * Pieces of memory to be transferred as one. A list targets host memory or one provider, never
 * both, and never two providers: one mapping rule must fit all of it (as in the kernel, where
 * dma_map_sgtable() looks at the first page to tell whose memory a list is). Whoever has pieces of
 * several splits them: ScatterList.split().
 */
export class ScatterList {
  readonly #addressSpace: AddressSpace;
  readonly #segments = new Segments();
  /** What must still be there when it is mapped and used; the same one not twice in a row. */
  readonly #memory: Perishable[] = [];
  /** Null: host memory. Undefined: nothing in it yet. */
  #peer: PeerMemory | null | undefined;
  #byteLength = 0;

  constructor(addressSpace: AddressSpace) {
    this.#addressSpace = addressSpace;
  }

  /**
   * As few lists as hold the segments in their order, a new one wherever the target changes.
   * Errors: FOREIGN_MEMORY, BAD_RANGE.
   */
  static split(addressSpace: AddressSpace, segments: Iterable<Segment>): ScatterList[] {
    const lists: ScatterList[] = [];
    for (const segment of segments) {
      const peer = "peer" in segment ? segment.peer : null;
      let list = lists.at(-1);
      if (list?.peer !== peer) lists.push((list = new ScatterList(addressSpace)));
      if ("peer" in segment) list.addPeer(segment.peer, segment.offset, segment.length);
      else list.addHost(segment.host, segment.offset, segment.length);
    }
    return lists;
  }

  /** Bytes. */
  get byteLength(): number {
    return this.#byteLength;
  }

  /** Number of pieces, as they were added. */
  get count(): number {
    return this.#segments.count;
  }

  /** Whose memory it targets: null is the host's; undefined while there is nothing in it. */
  get peer(): PeerMemory | null | undefined {
    return this.#peer;
  }

  /** Adds a piece of host memory. Errors: MIXED_TARGETS, FOREIGN_MEMORY, BAD_RANGE. */
  addHost(buffer: DmaBuffer, offset = 0, length = buffer.size - offset): this {
    return this.#add(buffer, null, offset, length, buffer);
  }

  /**
   * Adds a piece of a provider. `holder`: what it belongs to, if that can go earlier than the
   * provider: the allocation. Errors: MIXED_TARGETS, FOREIGN_MEMORY, BAD_RANGE.
   */
  addPeer(peer: PeerMemory, offset: number, length: number, holder: Perishable = peer): this {
    return this.#add(peer, peer, offset, length, holder);
  }

  /**
   * The DMA addresses as `client` must use them, within the limits given, or else its own. All
   * devices of the address space share its mappings, so this checks and computes, and notes that the
   * vector exists: unmap it. What a device could not reach is refused here.
   *
   * Errors: NOT_MAPPED_FOR_DEVICE where the client was not opened in this address space;
   * NOT_SUPPORTED where the path from it to the provider does not work, with the reason;
   * TOO_MANY_SEGMENTS; BAD_ARGUMENT; BAD_RANGE for a list without a byte; GONE, REVOKED or NOT_ALLOCATED where the memory has gone.
   */
  map(client: Bdf, limits?: DmaLimits): DmaVector;
  map<Address extends string>(client: DmaClient<Address>, limits?: DmaLimits): DmaVector<Address>;
  map(client: Bdf | DmaClient, limits?: DmaLimits): DmaVector {
    const space = this.#addressSpace;
    const device = typeof client === "string" ? client : client.address;
    const most = limits ?? (typeof client === "string" ? {} : client.dmaLimits);
    if (!space.hasDevice(device))
      throw new P2pError(
        "NOT_MAPPED_FOR_DEVICE",
        `${device} is not attached to the address space of this memory`,
        { device, hint: "open all devices of a job in one session" },
      );
    if (this.#byteLength === 0)
      throw new P2pError("BAD_RANGE", "there is nothing to map: the scatterlist is empty", {
        hint: "add memory to it: addHost() or addPeer()",
      });
    for (const memory of this.#memory) memory.assertUsable();
    const mapType = this.#peer?.mapTypeFor(device) ?? null;
    const { addresses, lengths } = this.#fit(device, most);
    space.mappings.add(device);
    return new DmaVector({
      client: device,
      addresses,
      lengths,
      byteLength: this.#byteLength,
      mapType,
      memory: this.#memory.slice(),
      onUnmap: () => {
        space.mappings.remove(device);
      },
    });
  }

  /** As they were added. Errors: none; what has gone since is still there. */
  *pieces(): Iterable<Piece> {
    const { addresses, lengths, count } = this.#segments;
    const peer = this.#peer ?? null;
    let held = 0;
    for (let i = 0; i < count; i++) {
      const address = addresses[i]!;
      const length = lengths[i]!;
      if (peer !== null) {
        yield { peer, offset: address - peer.iova, length };
        continue;
      }
      // The buffers are held in the order in which they were added.
      let host = this.#memory[held] as DmaBuffer;
      while (address < host.iova || address >= host.iova + host.size)
        host = this.#memory[++held] as DmaBuffer;
      yield { host, offset: address - host.iova, length };
    }
  }

  /** What must be there as long as it is used, and is pinned for that. */
  holders(): Perishable[] {
    return this.#memory.slice();
  }

  #fit(device: Bdf, limits: DmaLimits): Segments {
    checkLimits(limits);
    const { maxSegment = Infinity, boundary = Infinity, maxSegments = Infinity } = limits;
    const mapped = joinAndCut(this.#segments, maxSegment, boundary, maxSegments);
    if (mapped !== null) return mapped;
    throw new P2pError(
      "TOO_MANY_SEGMENTS",
      `this list maps to more than the ${maxSegments} segments that ${device} takes`,
      { device, hint: "transfer it in several parts" },
    );
  }

  #add(
    target: DmaBuffer | PeerMemory,
    peer: PeerMemory | null,
    offset: number,
    length: number,
    holder: Perishable,
  ): this {
    if (this.#peer !== undefined && this.#peer !== peer)
      throw new P2pError(
        "MIXED_TARGETS",
        "a scatterlist targets host memory or one provider, not several",
        { hint: "make one list for each: ScatterList.split()" },
      );
    if (target.addressSpace !== this.#addressSpace)
      throw new P2pError("FOREIGN_MEMORY", "this memory is mapped in another address space", {
        hint: "allocate it in the session whose devices use it",
      });
    const isRange = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
    if (!isRange || offset < 0 || length <= 0 || offset + length > target.size)
      throw new P2pError(
        "BAD_RANGE",
        `offset ${offset}, length ${length} is not inside ${target.size} bytes`,
      );
    this.#peer = peer;
    this.#segments.push(target.iova + offset, length);
    this.#byteLength += length;
    if (this.#memory.at(-1) !== holder) this.#memory.push(holder);
    return this;
  }
}
