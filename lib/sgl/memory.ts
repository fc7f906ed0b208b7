import type { NativeMemory } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { Iova } from "../dma/iova.js";
import type { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import type { MapType } from "../pci/peer-path.js";

/** Something that can go while others still name it. */
export interface Perishable {
  /** Errors: GONE, REVOKED or NOT_ALLOCATED, where it has gone. */
  assertUsable(): void;
  /** A transfer to or from it begins: until it has ended nothing else is put in its place. */
  pin(): void;
  /** Once for each pin(). Errors: those of letting it go, where that waited for this. */
  unpin(): void;
}

/** Memory of a device that all devices of an address space reach. A Provider is one. */
export interface PeerMemory extends Perishable {
  readonly name: string;
  /** The device whose memory it is. */
  readonly fn: PciFunction;
  readonly addressSpace: AddressSpace;
  /** Where devices find its first byte. */
  readonly iova: Iova;
  /** Bytes. */
  readonly size: number;
  /** As the CPU reaches it. */
  readonly memory: NativeMemory;
  /** Name of the RDMA device whose own memory it is, and which registers it as such; null: of none. */
  readonly rdmaDevice: string | null;
  /** How `client` reaches it. Errors: NOT_SUPPORTED with the reason, REVOKED, UNKNOWN_DEVICE. */
  mapTypeFor(client: Bdf): MapType;
  /**
   * Some of it, in whole pages, for other devices' drivers: a dma-buf, which the caller closes. Errors:
   * NO_DMABUF, NO_ABILITY, REVOKED, DEVICE_GONE, BAD_RANGE, NOT_MAPPABLE, IO.
   */
  exportDmabuf(offset: number, length: number): number;
  /**
   * Calls `listener` once when it is revoked, before those are told that hold a part of it: so that
   * devices that it does not know of reach it no more; at once if that was before. Returns what takes the
   * listener away.
   */
  onRevoke(listener: (error: P2pError) => void): () => void;
}

/** A piece of host memory, or of a peer's; `offset` and `length` in bytes. */
export type Piece =
  | { readonly host: DmaBuffer; readonly offset: number; readonly length: number }
  | { readonly peer: PeerMemory; readonly offset: number; readonly length: number };

/** The same, of which host memory may be said to be all of the buffer. */
export type Segment =
  | { readonly host: DmaBuffer; readonly offset?: number; readonly length?: number }
  | { readonly peer: PeerMemory; readonly offset: number; readonly length: number };
