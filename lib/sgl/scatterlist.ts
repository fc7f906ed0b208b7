import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import { DmaVector } from "./dma-vector.js";

/** What a list targets: host memory, or one provider. */
type Target = DmaBuffer | Provider;

interface Segment {
  readonly target: Target;
  readonly offset: number;
  readonly length: number;
}

/**
 * Pieces of memory to be transferred as one. A list targets host memory or one provider, never
 * both, and never two providers: one mapping rule must fit all of it (as in the kernel, where
 * dma_map_sgtable() looks at the first page to tell whose memory a list is).
 */
export class ScatterList {
  readonly #segments: Segment[] = [];
  readonly #addressSpace: AddressSpace;
  /** Null: host memory. Undefined: nothing in it yet. */
  #provider: Provider | null | undefined;

  constructor(addressSpace: AddressSpace) {
    this.#addressSpace = addressSpace;
  }

  /** Bytes. */
  get byteLength(): number {
    return this.#segments.reduce((sum, { length }) => sum + length, 0);
  }

  /** Adds a piece of host memory. Errors: MIXED_TARGETS, BAD_RANGE. */
  addHost(buffer: DmaBuffer, offset = 0, length = buffer.size - offset): this {
    return this.#add(buffer, null, offset, length);
  }

  /** Adds a piece of a provider. Errors: MIXED_TARGETS, BAD_RANGE. */
  addPeer(provider: Provider, offset: number, length: number): this {
    return this.#add(provider, provider, offset, length);
  }

  /**
   * The DMA addresses as `client` must use them. All devices of the address space share its
   * mappings, so this only checks and computes. Errors: NOT_MAPPED_FOR_DEVICE, where the client
   * was not opened in this address space.
   */
  map(client: Bdf): DmaVector {
    if (!this.#addressSpace.hasDevice(client))
      throw new P2pError(
        "NOT_MAPPED_FOR_DEVICE",
        `${client} is not attached to the address space of this memory`,
        { device: client, hint: "open all devices of a job in one session" },
      );
    return new DmaVector(
      client,
      this.#segments.map(({ target, offset, length }) => ({
        address: target.iova + offset,
        length,
      })),
      Boolean(this.#provider),
    );
  }

  #add(target: Target, provider: Provider | null, offset: number, length: number): this {
    if (this.#provider !== undefined && this.#provider !== provider)
      throw new P2pError(
        "MIXED_TARGETS",
        "a scatterlist targets host memory or one provider, not several",
        { hint: "make one list for each" },
      );
    if (offset < 0 || length <= 0 || offset + length > target.size)
      throw new P2pError(
        "BAD_RANGE",
        `offset ${offset}, length ${length} is not inside ${target.size} bytes`,
      );
    this.#provider = provider;
    this.#segments.push({ target, offset, length });
    return this;
  }
}
