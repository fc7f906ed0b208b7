/**
 * Canaries through the kernel's p2pdma before it is used: where an IOMMU translates what a peer was told
 * by its bus address, reads and writes succeed and nothing arrives.
 */
import { randomFillSync } from "node:crypto";
import { readSync, writeSync } from "node:fs";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import { peerPath } from "../pci/peer-path.js";
import type { Bdf } from "../pci/bdf.js";
import type { PciTree } from "../pci/tree.js";
import { isBlank } from "../proof/blank.js";
import { tryAll } from "../try-all.js";
import { formatKernelEndpoint } from "./endpoint.js";
import { isSystemError, shortTransfer, transferError } from "./failure.js";
import type { KernelTarget } from "./target.js";

/** What the kernel's p2pdma refuses a pair with: EINVAL since the two-step DMA API, EREMOTEIO before. */
const REFUSALS = ["EREMOTEIO", "EINVAL"];

/** Bytes of a canary, at most: the CPU reads a BAR at some 8 bytes a microsecond. */
const CANARY_BYTES = 16 * 1024;

/** A target's range, and which ways its data go. */
interface ProofLeg {
  target: KernelTarget;
  /** Bytes; the range may be written if `isWritten`. */
  offset: number;
  length: number;
  isRead: boolean;
  isWritten: boolean;
}

/**
 * Proves that what is read from the target arrives in the peer memory, and what is written comes from
 * there, at its begin and at its end. What is written for it is restored.
 *
 * Errors: PATH_REFUSED, where the kernel does not take the pair, with the reason; PATH_LOSES_DATA; IO,
 * where the target cannot be read or written; NOT_RESTORED, where what was written for it is still there;
 * DEVICE_GONE.
 */
export function proveKernelPath(
  tree: PciTree,
  provider: Bdf,
  peer: NativeMemory,
  leg: ProofLeg,
): void {
  const most = Math.min(CANARY_BYTES, leg.length, peer.size);
  const length = most - (most % leg.target.blockSize);
  const host = [0, 1, 2].map(() => addon().allocatePinned(length, false));
  const canary = new Canary(tree, provider, peer, leg, length, host);
  try {
    for (const place of new Set([0, peer.size - Math.ceil(length / 4096) * 4096])) {
      if (leg.isRead) canary.read(place);
      if (leg.isWritten) canary.write(place);
    }
  } finally {
    tryAll(host.map((memory) => () => memory.close()));
  }
}

type Transfer = (
  fd: number,
  view: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => number;

class Canary {
  readonly #tree: PciTree;
  readonly #provider: Bdf;
  readonly #peer: NativeMemory;
  readonly #leg: ProofLeg;
  readonly #length: number;
  /** What the medium holds, what was there before, and what arrived. */
  readonly #medium: NativeMemory;
  readonly #poison: NativeMemory;
  readonly #seen: NativeMemory;

  constructor(
    tree: PciTree,
    provider: Bdf,
    peer: NativeMemory,
    leg: ProofLeg,
    length: number,
    host: NativeMemory[],
  ) {
    this.#tree = tree;
    this.#provider = provider;
    this.#peer = peer;
    this.#leg = leg;
    this.#length = length;
    [this.#medium, this.#poison, this.#seen] = host as [NativeMemory, NativeMemory, NativeMemory];
  }

  /** Poison into the peer memory, a read over it, and what is there then. */
  read(place: number): void {
    this.#makePoison();
    addon().copy(this.#peer, place, this.#poison, 0, this.#length);
    this.#throughHost(readSync, this.#medium);
    this.#throughPeer(readSync, place);
    addon().copy(this.#seen, 0, this.#peer, place, this.#length);
    if (this.#isSeen(this.#medium)) return;
    // Somebody may have written to the medium meanwhile.
    this.#throughHost(readSync, this.#medium);
    if (!this.#isSeen(this.#medium)) throw this.#lost("read into", "it holds");
  }

  /** A canary from the peer memory onto the medium, and what is there then; then what was there. */
  write(place: number): void {
    this.#makePoison();
    this.#throughHost(readSync, this.#medium);
    addon().copy(this.#peer, place, this.#poison, 0, this.#length);
    try {
      this.#throughPeer(writeSync, place);
      this.#throughHost(readSync, this.#seen);
    } finally {
      this.#restore();
    }
    if (!this.#isSeen(this.#poison)) throw this.#lost("written from", "the medium holds");
  }

  /** Matters more than why the canary did not come through, where that has failed, too. */
  #restore(): void {
    try {
      this.#throughHost(writeSync, this.#medium);
    } catch (cause) {
      const { target, offset } = this.#leg;
      const { file } = target.endpoint;
      throw new P2pError(
        "NOT_RESTORED",
        `${this.#length} bytes of ${file} at byte ${offset} may not hold what they held before the proof`,
        { hint: "they were not taken back: what is there may be random", cause },
      );
    }
  }

  #makePoison(): void {
    randomFillSync(new Uint8Array(this.#poison.buffer));
  }

  #isSeen(wanted: NativeMemory): boolean {
    return addon().compare(this.#seen, 0, wanted, 0, this.#length) < 0;
  }

  #throughHost(transfer: Transfer, memory: NativeMemory): void {
    const { target, offset } = this.#leg;
    const view = new Uint8Array(memory.buffer, 0, this.#length);
    try {
      this.#transfer(transfer, view);
    } catch (error) {
      throw transferError(error, target.endpoint.file, offset);
    }
  }

  #transfer(transfer: Transfer, view: Uint8Array): void {
    const { target, offset } = this.#leg;
    const moved = transfer(target.fd, view, 0, this.#length, offset);
    if (moved === this.#length) return;
    const what = transfer === readSync ? "a read" : "a write";
    throw shortTransfer(what, target.endpoint.file, offset, moved, this.#length);
  }

  /** The kernel hands the pages to the device; no byte of the view is looked at here. */
  #throughPeer(transfer: Transfer, place: number): void {
    const { target, offset } = this.#leg;
    const view = new Uint8Array(this.#peer.buffer, place, this.#length);
    try {
      this.#transfer(transfer, view);
    } catch (error) {
      if (isSystemError(error) && REFUSALS.includes(error.code ?? "")) throw this.#refused(error);
      throw transferError(error, target.endpoint.file, offset, { device: this.#provider });
    }
  }

  #refused({ code = "", errno = 0, syscall = "" }: NodeJS.ErrnoException): P2pError {
    return new P2pError(
      "PATH_REFUSED",
      `the kernel refuses ${this.#pair()}: ${code}; ${this.#reasons()}`,
      {
        device: this.#provider,
        errno: -errno,
        syscall,
        hint: "kernel-host does without peer memory; p2pmem topology shows who reaches what",
      },
    );
  }

  #lost(way: string, where: string): P2pError {
    const what = this.#isSeen(way === "read into" ? this.#poison : this.#medium)
      ? "what was there before"
      : isBlank(new Uint8Array(this.#seen.buffer, 0, this.#length))
        ? "zeros or ones"
        : "something else";
    const translating = this.#leg.target.clients.some(({ iommu }) => iommu === "translates");
    return new P2pError(
      "PATH_LOSES_DATA",
      `the kernel says that ${this.#length} bytes were ${way} p2pmem, and ${where} ${what}: ${this.#pair()}`,
      {
        device: this.#provider,
        hint: translating
          ? "the IOMMU translates what the device was told by its bus address: boot with iommu=pt"
          : "nothing was measured; kernel-host does without peer memory",
      },
    );
  }

  #pair(): string {
    return `${formatKernelEndpoint(this.#leg.target.endpoint)} with p2pmem of ${this.#provider}`;
  }

  #reasons(): string {
    const { clients } = this.#leg.target;
    if (clients.length === 0) return "what is below it is not known to pass peer memory on";
    const provider = this.#tree.get(this.#provider);
    return clients
      .map((client) => peerPath(this.#tree, provider, client).kernel)
      .map(({ mapType, reason }) => `${mapType}: ${reason}`)
      .join("; ");
  }
}
