import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { MapType } from "../pci/peer-path.js";
import { tryAll } from "../try-all.js";
import type { ForDevice } from "./dma-client.js";
import type { Perishable } from "./memory.js";

/** What a vector is made of. */
export interface DmaVectorParts {
  client: Bdf;
  addresses: Float64Array;
  lengths: Float64Array;
  /** Sum of the lengths. */
  byteLength: number;
  mapType: MapType | null;
  /** What its addresses lead to. */
  memory: readonly Perishable[];
  /** Called by unmap(). */
  onUnmap: () => void;
}

/**
 * A scatterlist mapped for one device: nothing but addresses and lengths, valid for that device
 * alone, until unmap(). `Address`: see ForDevice.
 */
export class DmaVector<Address extends string = string> implements ForDevice<Address> {
  declare readonly __device?: { is(address: Address): void };
  /** The device it was mapped for. */
  readonly client: Bdf;
  /** DMA addresses, safe integers. */
  readonly addresses: Float64Array;
  /** Bytes for each. */
  readonly lengths: Float64Array;
  /** Sum of the lengths. */
  readonly byteLength: number;
  /** How the client reaches the peer memory that this is; null for host memory. */
  readonly mapType: MapType | null;
  readonly #memory: readonly Perishable[];
  /** Null once unmapped. */
  #onUnmap: (() => void) | null;

  constructor(parts: DmaVectorParts) {
    this.client = parts.client;
    this.addresses = parts.addresses;
    this.lengths = parts.lengths;
    this.byteLength = parts.byteLength;
    this.mapType = parts.mapType;
    this.#memory = parts.memory;
    this.#onUnmap = parts.onUnmap;
  }

  /** Number of segments. */
  get count(): number {
    return this.addresses.length;
  }

  /** True where the memory is a provider's, not the host's. */
  get isPeer(): boolean {
    return this.mapType !== null;
  }

  /**
   * What a driver asks before it gives these addresses to its device. Errors: NOT_MAPPED_FOR_DEVICE
   * where that is another one than they were mapped for; NOT_MAPPED after unmap(); GONE, REVOKED or
   * NOT_ALLOCATED where their memory has gone.
   */
  assertUsableBy(device: Bdf): void {
    if (device !== this.client)
      throw new P2pError(
        "NOT_MAPPED_FOR_DEVICE",
        `these DMA addresses were mapped for ${this.client}, not for ${device}`,
        { device, hint: "map the scatterlist for each device that uses it" },
      );
    if (this.#onUnmap === null) throw this.#notMapped("unmap a vector after its last use");
    for (const memory of this.#memory) memory.assertUsable();
  }

  /** What a driver calls before it gives the first of these addresses to its device. */
  pin(): void {
    for (const memory of this.#memory) memory.pin();
  }

  /**
   * The device uses none of them any more: once for each pin(). Memory that was closed or freed
   * meanwhile goes now. Errors: what that gave, the first of them.
   */
  unpin(): void {
    tryAll(
      this.#memory.map((memory) => () => {
        memory.unpin();
      }),
    );
  }

  /**
   * Says that the device is done with it: exactly once, with nothing in flight. The memory stays
   * mapped for others until its owner frees it. Errors: NOT_MAPPED the second time.
   */
  unmap(): void {
    if (this.#onUnmap === null) throw this.#notMapped("unmap a vector once");
    this.#onUnmap();
    this.#onUnmap = null;
  }

  #notMapped(hint: string): P2pError {
    const message = `${this.byteLength} bytes that were mapped for ${this.client} have been unmapped`;
    return new P2pError("NOT_MAPPED", message, { device: this.client, hint });
  }
}
