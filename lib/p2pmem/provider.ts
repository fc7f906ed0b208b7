import { addon, type NativeMemory } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import type { Iova } from "../dma/iova.js";
import type { PeerMapping } from "../dma/peer-mapping.js";
import { Pins } from "../dma/pins.js";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciFunction } from "../pci/function.js";
import { peerPath, type MapType, type PeerPath } from "../pci/peer-path.js";
import type { PeerMemory } from "../sgl/memory.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { tryAll } from "../try-all.js";
import { formatSize } from "../units.js";
import { Pool, POOL_PAGE, type Allocation } from "./pool.js";
import type { ProviderMemory } from "./provider-memory.js";
import { dataRefusal, type ProviderRange } from "./provider-range.js";
import { Revocation, type RevokeListener } from "./revocation.js";

/** What a provider needs of whoever opened it. */
export interface ProviderOwner {
  /** Throws where the provider's device has gone or was reset. */
  assertAlive(): void;
  /**
   * Returns when what was written to its memory before is safe there. `readOne` reads anywhere in
   * it. Errors: what the device says of writes that it has lost.
   */
  barrier(readOne: () => void): void;
  /** About to unmap its memory: the device must answer to these addresses no more. */
  withdraw(): void;
  /** It has unmapped its memory, after revoke(), close() or release(). */
  closed(): void;
}

/**
 * Memory on a PCI device, mapped for all devices of an address space, from when there is one on, and
 * given out by its pool. It is published at first. It ends by revoke() or close(), which wait until
 * whoever holds some of it has let go: only then the memory is unmapped.
 */
export class Provider implements PeerMemory, AsyncDisposable {
  readonly fn: PciFunction;
  readonly range: ProviderRange;
  readonly addressSpace: AddressSpace;
  readonly pool: Pool;
  readonly #bytes: ProviderMemory;
  /** Null while it is mapped for nobody. */
  #mapping: PeerMapping | null = null;
  readonly #owner: ProviderOwner;
  readonly #paths = new Map<Bdf, PeerPath>();
  /** What allocScatterlist() gave; freed ones stay, so that the pool refuses a second free. */
  readonly #lists = new WeakMap<ScatterList, readonly Allocation[]>();
  readonly #unmapped: Promise<void>;
  /** Of transfers whose lists name it without an allocation. */
  readonly #pins = new Pins();
  /** Of those through whom devices reach it that are not of the address space. */
  readonly #revocation = new Revocation<RevokeListener>();
  /** Null once it is unmapped. */
  #onUnmapped: (() => void) | null = null;
  #revoked: P2pError | null = null;
  #ending: Promise<void> | null = null;

  /**
   * Takes over `bytes`, which are `range` of the device. Errors: those of AddressSpace.mapPeer(), with
   * `bytes` closed.
   */
  constructor(
    addressSpace: AddressSpace,
    fn: PciFunction,
    range: ProviderRange,
    bytes: ProviderMemory,
    owner: ProviderOwner,
  ) {
    this.fn = fn;
    this.range = range;
    this.addressSpace = addressSpace;
    this.#owner = owner;
    this.#bytes = bytes;
    try {
      if (addressSpace.hasDevices) this.#map();
    } catch (error) {
      bytes.memory.close();
      throw error;
    }
    this.pool = new Pool(range.size);
    this.#unmapped = new Promise((resolve) => {
      this.#onUnmapped = resolve;
    });
  }

  /** `0000:03:00.0/cmb`, or of a part `0000:03:00.0/bar2@1m+16m`. */
  get name(): string {
    return `${this.fn.address}/${this.range.label}`;
  }

  /** Bytes. */
  get size(): number {
    return this.range.size;
  }

  /** The whole range as the CPU reaches it; for named CPU copies and flushes only. */
  get memory(): NativeMemory {
    return this.#bytes.memory;
  }

  /** Where it lies on the bus; null where that is not known. */
  get busAddress(): number | null {
    return this.#bytes.busAddress;
  }

  /** See ProviderMemory.rdmaDevice. */
  get rdmaDevice(): string | null {
    return this.#bytes.rdmaDevice;
  }

  /**
   * Where the devices of the address space find its first byte. Errors: NO_DEVICE while there is none;
   * then those of AddressSpace.mapPeer().
   */
  get iova(): Iova {
    return this.#map().iova;
  }

  /** True where that is its bus address, too, so that a switch can route to it directly. Errors: as iova. */
  get isIdentityMapped(): boolean {
    return this.#map().isIdentity;
  }

  /** True where it can be found, and gives memory. */
  get isPublished(): boolean {
    return this.pool.isPublished;
  }

  /** Why it can be used no more: a REVOKED error; null while all is well. */
  get revoked(): P2pError | null {
    return this.#revoked;
  }

  /** Why data must not rest there (see dataRefusal()); null where it may. */
  get dataRefusal(): string | null {
    return dataRefusal(this.range);
  }

  /** Lets it be found, and gives memory again. Errors: REVOKED. Idempotent. */
  publish(): void {
    this.assertUsable();
    this.pool.publish();
  }

  /** Nobody finds it any more, and it gives no more; what is held stays valid. Idempotent. */
  unpublish(): void {
    this.pool.unpublish();
  }

  /** Errors: REVOKED. */
  assertUsable(): void {
    if (this.#revoked !== null) throw this.#revoked;
  }

  pin(): void {
    this.#pins.pin();
  }

  unpin(): void {
    this.#pins.unpin();
  }

  /**
   * Looks whether its device is there, and in the state in which the memory was given out. Errors:
   * DEVICE_GONE, CONTROLLER_RESET, CONTROLLER_FATAL; it is revoked then.
   */
  assertAlive(): void {
    try {
      this.#owner.assertAlive();
    } catch (error) {
      this.revokeInBackground(error as P2pError);
      throw error;
    }
  }

  /**
   * When this returns, all that was written to it has landed: what this process stored, and what
   * devices wrote by commands that are complete. In a PMR it is persistent then (NVMe 1.4 §3.1.23,
   * PMRWBM). Errors: REVOKED; PMR_FAILED, where a PMR has lost writes; DEVICE_GONE.
   */
  barrier(): void {
    this.assertUsable();
    this.#owner.barrier(() => addon().read32(this.memory, 0));
  }

  /** All that the topology says of a client and this provider. Errors: UNKNOWN_DEVICE. */
  pathTo(client: Bdf): PeerPath {
    let path = this.#paths.get(client);
    if (path === undefined) {
      const { tree } = this.addressSpace;
      path = peerPath(tree, this.fn, tree.get(client));
      this.#paths.set(client, path);
    }
    return path;
  }

  /**
   * How the data of `client` reaches it. `UNKNOWN`, where registers could not be read, is no refusal:
   * the address is right on either route, and on real hardware a path is proved before its first use.
   * Errors: NO_ABILITY, where it is a controller's memory that is not for data; NOT_SUPPORTED with
   * the reason; REVOKED, UNKNOWN_DEVICE.
   */
  mapTypeFor(client: Bdf): MapType {
    this.#assertForData();
    const { vfio, route } = this.pathTo(client);
    if (vfio.mapType === "NOT_SUPPORTED")
      throw new P2pError("NOT_SUPPORTED", `${client} does not reach ${this.name}: ${vfio.reason}`, {
        device: client,
        hint: "use another provider, or the path by way of host memory",
      });
    // At another address than its own no switch hands a request over: it climbs to the IOMMU.
    const isTranslated = !this.isIdentityMapped && route !== "internal";
    return isTranslated ? "THROUGH_HOST_BRIDGE" : vfio.mapType;
  }

  exportDmabuf(offset: number, length: number): number {
    this.#assertForData();
    if (!(offset >= 0 && length > 0 && offset + length <= this.size))
      throw new P2pError(
        "BAD_RANGE",
        `offset ${offset}, length ${length} is not inside the ${this.size} bytes of ${this.name}`,
        { device: this.fn.address },
      );
    return this.#bytes.exportDmabuf(offset, length);
  }

  onRevoke(listener: RevokeListener): () => void {
    const holder: RevokeListener = (error) => {
      listener(error);
    };
    this.#revocation.listen(holder, holder);
    return () => {
      this.#revocation.forget(holder);
    };
  }

  /**
   * `length` bytes in whole pages, in one segment where there is room, else in several, of which none
   * is longer than `maxSegment` bytes: the largest pieces first. (The kernel's
   * pci_p2pmem_alloc_sgl() gives one segment, or nothing.) Free it with freeScatterlist().
   * Errors: NO_ROOM, with nothing allocated; BAD_ARGUMENT, UNPUBLISHED, REVOKED.
   */
  allocScatterlist(length: number, { maxSegment = Infinity } = {}): ScatterList {
    const most = maxSegment === Infinity ? maxSegment : wholePages(maxSegment);
    const { pool, name } = this;
    this.assertUsable();
    if (length > pool.available)
      throw new P2pError(
        "NO_ROOM",
        `${name} has ${formatSize(pool.available)} free, not ${formatSize(length)}`,
        { device: this.fn.address, hint: "free some of it, or use a larger provider" },
      );
    const pieces: Allocation[] = [];
    const list = new ScatterList(this.addressSpace);
    try {
      let left = length;
      do {
        const piece = pool.alloc(Math.min(left, most, pool.largestFree));
        pieces.push(piece);
        list.addPeer(this, piece.offset, Math.min(left, piece.length), piece);
        left -= piece.length;
      } while (left > 0);
    } catch (error) {
      for (const piece of pieces) pool.free(piece);
      throw error;
    }
    this.#lists.set(list, pieces);
    return list;
  }

  /** Errors: DOUBLE_FREE; FOREIGN_FREE for a list that allocScatterlist() did not give. */
  freeScatterlist(list: ScatterList): void {
    const pieces = this.#lists.get(list);
    if (pieces === undefined)
      throw new P2pError("FOREIGN_FREE", `this scatterlist was not allocated from ${this.name}`, {
        hint: "free a list at the provider that gave it",
      });
    for (const piece of pieces) this.pool.free(piece);
  }

  /**
   * The memory is gone, or about to go: nobody finds it any more, it gives no more, each holder is
   * told once (Allocation.onRevoke) and every use is refused with REVOKED. Resolves when all have
   * let go, and it is unmapped. Idempotent. Errors: those of unmapping; what a listener threw.
   */
  revoke(error: P2pError): Promise<void> {
    return (this.#ending ??= this.#end(error));
  }

  /** The same, for a caller that does not wait: what goes wrong shows when it is closed. */
  revokeInBackground(error: P2pError): void {
    this.revoke(error).catch(() => undefined);
  }

  /** revoke(), since its owner is done with it. Idempotent. */
  close(): Promise<void> {
    return this.revoke(new P2pError("CLOSED", "it was closed"));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Unmaps it whoever holds some of it: for the end, when no device masters the bus any more.
   * Idempotent. Errors: those of unmapping.
   */
  release(): void {
    this.revokeInBackground(new P2pError("CLOSED", "its session was closed"));
    this.#unmap();
  }

  async #end(error: P2pError): Promise<void> {
    const { name } = this;
    const device = this.fn.address;
    const revoked = new P2pError("REVOKED", `${name} was revoked: ${error.message}`, {
      device,
      hint: "open it again once its device is back",
      cause: error,
    });
    this.#revoked = revoked;
    try {
      tryAll([
        () => {
          this.#revocation.revoke(revoked);
        },
        () => {
          // The pool does not know whose memory it gives.
          this.pool.revoke(
            new P2pError(error.code, `${name}: ${error.message}`, { device, cause: error }),
          );
        },
      ]);
    } finally {
      await Promise.race([this.#drained(), this.#unmapped]);
      this.#unmap();
    }
  }

  /** Nobody holds any of it, and no transfer uses it. */
  async #drained(): Promise<void> {
    await this.pool.drained();
    await new Promise<void>((resolve) => {
      this.#pins.whenFree(resolve);
    });
  }

  /** Errors: REVOKED, NO_ABILITY. */
  #assertForData(): void {
    this.assertUsable();
    if (this.dataRefusal !== null)
      throw new P2pError("NO_ABILITY", `${this.name}: ${this.dataRefusal}`, {
        device: this.fn.address,
        hint: "use another provider; p2pmem list shows what each may hold",
      });
  }

  #map(): PeerMapping {
    if (this.#mapping === null) {
      this.assertUsable();
      this.#mapping = this.addressSpace.mapPeer(this.memory, this.busAddress);
    }
    return this.#mapping;
  }

  #unmap(): void {
    if (this.#onUnmapped === null) return;
    this.#owner.withdraw();
    this.#mapping?.close();
    this.memory.close();
    this.#onUnmapped();
    this.#onUnmapped = null;
    this.#owner.closed();
  }
}

/** Errors: BAD_ARGUMENT. */
function wholePages(maxSegment: number): number {
  if (Number.isSafeInteger(maxSegment) && maxSegment >= POOL_PAGE)
    return maxSegment - (maxSegment % POOL_PAGE);
  throw new P2pError(
    "BAD_ARGUMENT",
    `segments must have ${POOL_PAGE} bytes or more, not ${maxSegment}`,
  );
}
