import type { AddressSpace } from "../dma/address-space.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { Iova } from "../dma/iova.js";
import type { Bdf } from "../pci/bdf.js";
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
  readonly addressSpace: AddressSpace;
  /** Where devices find its first byte. */
  readonly iova: Iova;
  /** Bytes. */
  readonly size: number;
  /** How `client` reaches it. Errors: NOT_SUPPORTED with the reason, REVOKED, UNKNOWN_DEVICE. */
  mapTypeFor(client: Bdf): MapType;
}

/** A piece of host memory, or of a peer's; `offset` and `length` in bytes. */
export type Segment =
  | { readonly host: DmaBuffer; readonly offset?: number; readonly length?: number }
  | { readonly peer: PeerMemory; readonly offset: number; readonly length: number };
