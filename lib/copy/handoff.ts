import { addon } from "../addon.js";
import type { NativeAddon, NativeMemory } from "../addon.js";
import { PeerBarrier } from "../io/peer-barrier.js";
import type { HandoffJob } from "./job.js";

/** What a path does with a batch of blocks that have been read and are about to be written. */
export interface Handoff {
  /** `slots[0..count)` hold blocks; `length` has the bytes of each slot's block. */
  move(slots: Int32Array, count: number, length: Float64Array): void;
  /** Lets go of the memory. */
  close(): void;
}

export function openHandoff(job: HandoffJob): Handoff {
  switch (job.kind) {
    case "none":
      return new HostHandoff();
    case "flush":
      return new PeerHandoff(job.memoryId, job.offset);
    case "copy":
      return new CpuHandoff(job);
  }
}

/**
 * Through pinned host memory. Nothing to do: the completion and the data took the same way to the
 * same memory, and posted writes do not pass each other (PCIe base §2.4.1).
 */
class HostHandoff implements Handoff {
  move(): void {
    // The blocks are where the destination reads them.
  }

  close(): void {
    // Nothing is held.
  }
}

/** Peer to peer: what the source has written is pushed ahead to where the destination reads it. */
class PeerHandoff implements Handoff {
  readonly #barrier: PeerBarrier;

  constructor(memoryId: number, offset: number) {
    this.#barrier = new PeerBarrier(memoryId, offset);
  }

  move(): void {
    this.#barrier.pass();
  }

  close(): void {
    this.#barrier.close();
  }
}

/**
 * Through pinned host memory and, by a CPU copy, the peer's BAR: one native call for a block. The
 * read at the end pushes the CPU's own posted writes, which the destination's reads could pass on
 * their shorter way to the peer.
 */
class CpuHandoff implements Handoff {
  readonly #addon: NativeAddon = addon();
  readonly #from: NativeMemory;
  readonly #to: NativeMemory;
  readonly #fromOffsets: Float64Array;
  readonly #toOffsets: Float64Array;

  constructor(job: HandoffJob & { kind: "copy" }) {
    this.#from = this.#addon.openMemory(job.fromId);
    this.#to = this.#addon.openMemory(job.toId);
    this.#fromOffsets = job.fromOffsets;
    this.#toOffsets = job.toOffsets;
  }

  move(slots: Int32Array, count: number, length: Float64Array): void {
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      this.#addon.copy(
        this.#to,
        this.#toOffsets[slot]!,
        this.#from,
        this.#fromOffsets[slot]!,
        length[slot]!,
      );
    }
    this.#addon.read32(this.#to, this.#toOffsets[slots[0]!]!);
  }

  close(): void {
    this.#from.close();
    this.#to.close();
  }
}
