import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Bdf } from "../pci/bdf.js";
import type { ProofMemory } from "./memory.js";

/** `write`: from the device into the peer memory; `read`: from the peer memory into the device. */
export type Direction = "write" | "read";

/**
 * - `proved`: every canary arrived
 * - `lost`: none did, and no command failed
 * - `corrupted`: some did not, or not as they were sent
 * - `refused`: the device says that it does not reach the peer memory, or the IOMMU does
 * - `unproved`: nothing could be sent without leave to write, or nothing be told from what was sent
 * - `failed`: a command failed, for whatever reason, so nothing was lost in silence
 */
export type LegOutcome = "proved" | "lost" | "corrupted" | "refused" | "unproved" | "failed";

/** Part of a namespace; bytes, whole blocks. */
export interface BlockRange {
  namespace: NvmeNamespace;
  offset: number;
  length: number;
}

/** One direction between a device and the peer memory, and what of the device may be read. */
export interface Leg extends BlockRange {
  client: "source" | "destination";
  direction: Direction;
  /** What of the same device may be written, and is restored, where Compare tells nothing. */
  scratch: BlockRange | null;
}

export interface LegProof {
  client: Leg["client"];
  device: Bdf;
  direction: Direction;
  outcome: LegOutcome;
  /** One line for a person: what was sent, or what was seen, or what to do. */
  detail: string;
  /** Canaries that went this way. */
  bytes: number;
}

/** A leg that is being looked at. */
export interface Trial {
  leg: Leg;
  memory: ProofMemory;
  signal: AbortSignal;
}

/** Ends a trial before its canaries can say anything. */
export class TrialEnd extends Error {
  readonly outcome: "refused" | "unproved" | "failed";

  constructor(outcome: TrialEnd["outcome"], detail: string) {
    super(detail);
    this.outcome = outcome;
  }
}

/** One block, and as many as fit into a piece and into one command. Bytes. */
export function lengthsOf({ namespace, length }: BlockRange, memory: ProofMemory): number[] {
  const { blockSize, controller } = namespace;
  const most = Math.min(memory.size, controller.maxTransfer, length);
  return [...new Set([blockSize, most - (most % blockSize)])];
}

/** The first `length` bytes of a range, as a command names them. */
export function blocksOf(
  { namespace, offset }: BlockRange,
  length: number,
): { lba: number; blocks: number; device: Bdf } {
  const { blockSize, controller } = namespace;
  return { lba: offset / blockSize, blocks: length / blockSize, device: controller.address };
}

/** Reads the first `length` bytes of a range by way of host memory. */
export async function readInto(
  buffer: DmaBuffer,
  range: BlockRange,
  length: number,
  memory: ProofMemory,
): Promise<void> {
  const { lba, blocks, device } = blocksOf(range, length);
  await range.namespace.read(lba, blocks, memory.mapHost(buffer, length, device));
}
