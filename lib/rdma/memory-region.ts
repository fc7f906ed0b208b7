import { P2pError } from "../errors.js";
import type { NativeMemoryRegion } from "../rdma-addon.js";
import type { PeerMemory, Perishable } from "../sgl/memory.js";
import { tryAll } from "../try-all.js";
import type { RegionTarget } from "./access.js";

/** Bytes that one pair of keys stands for. */
export interface RegionPiece {
  /** What its first byte is called in gather entries and remote requests: a safe integer. */
  readonly address: number;
  readonly length: number;
  readonly lkey: number;
  readonly rkey: number;
}

/**
 * Where the CPU finds host memory, for inline data. Other regions have none: their addresses mean
 * something to the device alone, and whoever read there would end the process.
 */
export type InlineAddress = number & { readonly __brand: "InlineAddress" };

/** What a region is made of. */
export interface MemoryRegionParts {
  readonly target: RegionTarget;
  readonly natives: readonly NativeMemoryRegion[];
  /** What its keys lead to, if that can go; it is pinned until they do not. */
  readonly memory: readonly Perishable[];
  /** Null: not a provider's. */
  readonly peer: PeerMemory | null;
  /** The keys of a provider that was revoked mean nothing any more. */
  onInvalidated(): void;
  onClosed(region: MemoryRegion): void;
}

/**
 * Memory that a device may reach by keys, until close(), or until its provider is revoked. Then, in this
 * order: its keys are made invalid, so that nothing reaches the memory; all queue pairs of its domain go
 * to the error state, as any of them may have been using it; the holders are told (onRevoke); the memory
 * may go. Made by ProtectionDomain.
 */
export class MemoryRegion {
  readonly target: RegionTarget;
  /** Bytes. */
  readonly byteLength: number;
  readonly pieces: readonly RegionPiece[];
  readonly #parts: MemoryRegionParts;
  readonly #listeners: ((error: P2pError) => void)[] = [];
  readonly #forget: () => void;
  #revoked: P2pError | null = null;
  /** Its keys may mean something to the device. */
  #hasKeys = true;
  #isPinned = true;
  #isClosed = false;

  constructor(parts: MemoryRegionParts) {
    this.#parts = parts;
    this.target = parts.target;
    this.pieces = parts.natives.map(({ address, length, lkey, rkey }) => ({
      address: Number(address),
      length,
      lkey,
      rkey,
    }));
    this.byteLength = this.pieces.reduce((sum, { length }) => sum + length, 0);
    for (const memory of parts.memory) memory.pin();
    this.#forget =
      parts.peer?.onRevoke((error) => {
        this.#revoke(error);
      }) ?? (() => undefined);
  }

  /** Of a region in one piece, as are address and rkey. Errors: TOO_MANY_SEGMENTS. */
  get lkey(): number {
    return this.#only().lkey;
  }

  get rkey(): number {
    return this.#only().rkey;
  }

  get address(): number {
    return this.#only().address;
  }

  /** Why its keys mean nothing any more: a REVOKED error; null while all is well, or it was closed. */
  get revoked(): P2pError | null {
    return this.#revoked;
  }

  /** Errors: REVOKED; GONE once closed, or once its memory was; NOT_ALLOCATED. */
  assertUsable(): void {
    if (this.#revoked !== null) throw this.#revoked;
    if (this.#isClosed)
      throw new P2pError("GONE", `the memory region of ${this.byteLength} bytes was closed`, {
        hint: "close a region after its last use",
      });
    for (const memory of this.#parts.memory) memory.assertUsable();
  }

  /**
   * Calls `listener` once if its provider is revoked, when its keys mean nothing any more and the queue
   * pairs of its domain are in error; at once if that was before.
   */
  onRevoke(listener: (error: P2pError) => void): void {
    if (this.#revoked === null) this.#listeners.push(listener);
    else listener(this.#revoked);
  }

  /**
   * Where the CPU takes inline data from: `length` bytes from `offset` on, of a region in one piece. It
   * must not be used after close(). Errors: BAD_ARGUMENT, where it is not host memory; BAD_RANGE, and those
   * of assertUsable().
   */
  inlineAddress(offset: number, length: number): InlineAddress {
    this.assertUsable();
    if (this.target !== "host")
      throw new P2pError("BAD_ARGUMENT", "the CPU takes inline data from host memory only", {
        hint: "send it without INLINE, or from a region of host memory",
      });
    const { address, length: size } = this.#only();
    if (!(offset >= 0 && length >= 0 && offset + length <= size))
      throw new P2pError(
        "BAD_RANGE",
        `offset ${offset}, length ${length} is not inside a region of ${size} bytes`,
      );
    return (address + offset) as InlineAddress;
  }

  /**
   * The device reaches the memory no more when this returns, and it may go. Idempotent. Errors: IO, where
   * the device keeps its keys: the memory is kept, too, and close() may be called again.
   */
  close(): void {
    if (this.#isClosed) return;
    this.#invalidate();
    this.#isClosed = true;
    this.#forget();
    tryAll([
      () => {
        this.#parts.onClosed(this);
      },
      () => {
        this.#unpin();
      },
    ]);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #only(): RegionPiece {
    const { pieces } = this;
    if (pieces.length === 1) return pieces[0]!;
    throw new P2pError(
      "TOO_MANY_SEGMENTS",
      `a region of ${pieces.length} pieces has no address and key of its own`,
      { hint: "use those of its pieces, or register contiguous memory" },
    );
  }

  #revoke(error: P2pError): void {
    this.#revoked = error;
    tryAll([
      () => {
        this.#invalidate();
      },
      () => {
        this.#parts.onInvalidated();
      },
      ...this.#listeners.map((listener) => () => {
        listener(error);
      }),
      () => {
        if (!this.#hasKeys) this.#unpin();
      },
    ]);
  }

  #invalidate(): void {
    tryAll(
      this.#parts.natives.map((native) => () => {
        native.close();
      }),
    );
    this.#hasKeys = false;
  }

  #unpin(): void {
    if (!this.#isPinned) return;
    this.#isPinned = false;
    tryAll(
      this.#parts.memory.map((memory) => () => {
        memory.unpin();
      }),
    );
  }
}
