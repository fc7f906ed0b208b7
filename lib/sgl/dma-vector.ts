import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";

/**
 * A scatterlist mapped for one device: nothing but addresses and lengths, valid for that device
 * alone. Adjacent pieces are joined.
 */
export class DmaVector {
  /** The device it was mapped for. */
  readonly client: Bdf;
  /** DMA addresses, safe integers. */
  readonly addresses: Float64Array;
  /** Bytes for each. */
  readonly lengths: Float64Array;
  /** Sum of the lengths. */
  readonly byteLength: number;
  /** True where the memory is a provider's, not the host's. */
  readonly isPeer: boolean;

  constructor(
    client: Bdf,
    pieces: readonly { address: number; length: number }[],
    isPeer: boolean,
  ) {
    const joined: { address: number; length: number }[] = [];
    for (const { address, length } of pieces) {
      const last = joined.at(-1);
      if (last && last.address + last.length === address) last.length += length;
      else joined.push({ address, length });
    }
    this.client = client;
    this.addresses = Float64Array.from(joined, ({ address }) => address);
    this.lengths = Float64Array.from(joined, ({ length }) => length);
    this.byteLength = joined.reduce((sum, { length }) => sum + length, 0);
    this.isPeer = isPeer;
  }

  /** Number of pieces. */
  get count(): number {
    return this.addresses.length;
  }

  /** Errors: NOT_MAPPED_FOR_DEVICE, where `device` is not the one it was mapped for. */
  assertClient(device: Bdf): void {
    if (device !== this.client)
      throw new P2pError(
        "NOT_MAPPED_FOR_DEVICE",
        `these DMA addresses were mapped for ${this.client}, not for ${device}`,
        { device, hint: "map the scatterlist for each device that uses it" },
      );
  }
}
