import { addon } from "../addon.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { NvmeError, P2pError } from "../errors.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { PAGE } from "../nvme/spec.js";
import { isCompareFailure } from "../nvme/status.js";
import type { Bdf } from "../pci/bdf.js";
import { formatSize } from "../units.js";
import type { ProofMemory } from "./prove-memory.js";

/** `write`: from the device into the peer memory; `read`: from the peer memory into the device. */
export type Direction = "write" | "read";

/**
 * - `proved`: every canary arrived
 * - `lost`: none did, and no command failed
 * - `corrupted`: some did not, or not as they were sent
 * - `unproved`: nothing could be sent without leave to write
 * - `failed`: a command failed, so nothing was lost in silence
 */
export type LegOutcome = "proved" | "lost" | "corrupted" | "unproved" | "failed";

/** One direction between a device and the peer memory. */
export interface Leg {
  client: "source" | "destination";
  direction: Direction;
  /** Who sends or receives, and what of it may be read: bytes from its start, and how many. */
  namespace: NvmeNamespace;
  offset: number;
  length: number;
  /** What of the same device may be written, where it has no Compare command. */
  scratch: Scratch | null;
}

/** Part of a namespace that may be written; bytes. */
export interface Scratch {
  namespace: NvmeNamespace;
  offset: number;
  length: number;
  /** Whether what was there is put back in the end. */
  restore: boolean;
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

/** What became of one canary. */
interface Finding {
  /** Bytes from the start of the provider. */
  place: number;
  length: number;
  /** Bytes from `place` to the first that is wrong; null where none is. */
  wrongAt: number | null;
  /** Nothing of it arrived. */
  isLost: boolean;
}

/** A leg that is being looked at. */
interface Trial {
  leg: Leg;
  memory: ProofMemory;
  signal: AbortSignal;
}

/**
 * Sends canaries over one leg. Its scratch range, if it writes there, is restored whatever happens.
 * Errors: BAD_PEER_MEMORY; NOT_RESTORED; INTERRUPTED between two canaries; what broke a queue.
 */
export async function proveLeg(
  leg: Leg,
  memory: ProofMemory,
  signal: AbortSignal,
): Promise<LegProof> {
  const device = leg.namespace.controller.address;
  const shared = { client: leg.client, device, direction: leg.direction };
  const send = chooseMethod(leg);
  if (send === null)
    return {
      ...shared,
      outcome: "unproved",
      detail: `${device} has no Compare command, and no part of it may be written`,
      bytes: 0,
    };
  try {
    return { ...shared, ...summarize(leg, await send({ leg, memory, signal })) };
  } catch (error) {
    if (!(error instanceof NvmeError)) throw error;
    return { ...shared, outcome: "failed", detail: error.message, bytes: 0 };
  }
}

/** Null where there is no way that writes nothing, and none that may write. */
function chooseMethod({
  direction,
  namespace,
  scratch,
}: Leg): ((trial: Trial) => Promise<Finding[]>) | null {
  if (direction === "write") return sendByRead;
  if (namespace.controller.identity.hasCompare) return sendByCompare;
  return scratch === null ? null : (trial) => sendByWrite(trial, scratch);
}

function summarize(
  { direction }: Leg,
  findings: readonly Finding[],
): Pick<LegProof, "outcome" | "detail" | "bytes"> {
  const bytes = findings.reduce((sum, { length }) => sum + length, 0);
  const wrong = findings.filter(({ wrongAt }) => wrongAt !== null);
  const [first] = wrong;
  if (first === undefined)
    return { outcome: "proved", detail: `${formatSize(bytes)} in ${findings.length} parts`, bytes };
  if (findings.every(({ isLost }) => isLost)) {
    const detail =
      direction === "write"
        ? "the commands succeed, and nothing arrives in the peer memory"
        : "the device gets something else than the peer memory holds";
    return { outcome: "lost", detail, bytes };
  }
  const at = `0x${(first.place + first.wrongAt!).toString(16)}`;
  const detail = `wrong in ${wrong.length} of ${findings.length} parts, first at ${at} of the peer memory`;
  return { outcome: "corrupted", detail, bytes };
}

/** Device to peer memory: an NVMe Read of blocks that are known by way of host memory. */
async function sendByRead({ leg, memory, signal }: Trial): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const length of lengthsOf(leg, memory)) {
    await readInto(memory.reference, leg, length, memory);
    for (const place of memory.places) {
      signal.throwIfAborted();
      memory.makePoison(0, length);
      memory.put(memory.poison, place, 0, length);
      const { lba, blocks, device } = blocksOf(leg, length);
      await leg.namespace.read(lba, blocks, memory.mapPeer(place, length, device));
      memory.take(place, length);
      findings.push({ place, length, ...judge(memory, memory.reference, memory.poison, length) });
    }
  }
  return findings;
}

/**
 * Peer memory to device, with nothing written: an NVMe Compare of what the medium holds must succeed,
 * and one of poison must fail. A device that reads zeros or ones in place of the memory is found by
 * the first where the medium holds something else, and by the second where it holds just that.
 *
 * Only one page is poisoned at a time: on the way to it no page says anything of another (the IOMMU
 * maps by the page, and no request crosses one: PCIe base §2.2.7), and one that is read right would
 * make the comparison fail for all.
 */
async function sendByCompare({ leg, memory, signal }: Trial): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const length of lengthsOf(leg, memory)) {
    await readInto(memory.reference, leg, length, memory);
    for (const place of memory.places) {
      signal.throwIfAborted();
      memory.put(memory.reference, place, 0, length);
      if (!(await isEqual(leg, place, length, memory))) {
        findings.push({ place, length, wrongAt: 0, isLost: true });
        continue;
      }
      const unnoticed: number[] = [];
      for (let at = 0; at < length; at += PAGE) {
        const part = Math.min(PAGE, length - at);
        memory.makePoison(at, part);
        memory.put(memory.poison, place, at, part);
        if (await isEqual(leg, place, length, memory)) unnoticed.push(at);
        memory.put(memory.reference, place, at, part);
      }
      const isLost = unnoticed.length === Math.ceil(length / PAGE);
      findings.push({ place, length, wrongAt: unnoticed[0] ?? null, isLost });
    }
  }
  return findings;
}

async function isEqual(
  leg: Leg,
  place: number,
  length: number,
  memory: ProofMemory,
): Promise<boolean> {
  const { lba, blocks, device } = blocksOf(leg, length);
  try {
    await leg.namespace.compare(lba, blocks, memory.mapPeer(place, length, device));
    return true;
  } catch (error) {
    if (isCompareFailure(error)) return false;
    throw error;
  }
}

/** Peer memory to device: an NVMe Write of random bytes, which are read again by way of host memory. */
async function sendByWrite({ memory, signal }: Trial, scratch: Scratch): Promise<Finding[]> {
  const findings: Finding[] = [];
  const lengths = lengthsOf(scratch, memory);
  const saved = scratch.restore ? memory.allocate(memory.size) : null;
  const most = lengths.at(-1)!;
  if (saved !== null) await readInto(saved, scratch, most, memory);
  scratch.namespace.permitWrites();
  try {
    for (const length of lengths)
      for (const place of memory.places) {
        signal.throwIfAborted();
        await readInto(memory.reference, scratch, length, memory);
        memory.makePoison(0, length);
        memory.put(memory.poison, place, 0, length);
        const { lba, blocks, device } = blocksOf(scratch, length);
        await scratch.namespace.write(lba, blocks, memory.mapPeer(place, length, device));
        await readInto(memory.seen, scratch, length, memory);
        const verdict = judge(memory, memory.poison, memory.reference, length);
        findings.push({ place, length, ...verdict });
      }
  } finally {
    if (saved !== null) await restore(saved, scratch, most, memory);
  }
  return findings;
}

/** Writes back what was there, and looks whether it is there. Errors: NOT_RESTORED. */
async function restore(
  saved: DmaBuffer,
  scratch: Scratch,
  length: number,
  memory: ProofMemory,
): Promise<void> {
  const { namespace } = scratch;
  const { lba, blocks, device } = blocksOf(scratch, length);
  const refuse = (cause?: unknown): P2pError =>
    new P2pError(
      "NOT_RESTORED",
      `blocks ${lba} to ${lba + blocks - 1} of ${device}/${namespace.nsid} do not hold what they held before the proof`,
      { device, hint: "restore these blocks from elsewhere", cause },
    );
  try {
    await namespace.write(lba, blocks, memory.mapHost(saved, length, device));
    if (namespace.controller.identity.hasVolatileWriteCache) await namespace.flush();
    await readInto(memory.seen, scratch, length, memory);
  } catch (cause) {
    throw refuse(cause);
  }
  if (addon().compare(memory.seen.memory, 0, saved.memory, 0, length) >= 0) throw refuse();
}

/** One block, and as many as fit into a piece and into one command. Bytes. */
function lengthsOf({ namespace, length }: Leg | Scratch, memory: ProofMemory): number[] {
  const { blockSize, controller } = namespace;
  const most = Math.min(memory.size, controller.maxTransfer, length);
  return [...new Set([blockSize, most - (most % blockSize)])];
}

function blocksOf(
  { namespace, offset }: Leg | Scratch,
  length: number,
): { lba: number; blocks: number; device: Bdf } {
  const { blockSize, controller } = namespace;
  return { lba: offset / blockSize, blocks: length / blockSize, device: controller.address };
}

async function readInto(
  buffer: DmaBuffer,
  range: Leg | Scratch,
  length: number,
  memory: ProofMemory,
): Promise<void> {
  const { lba, blocks, device } = blocksOf(range, length);
  await range.namespace.read(lba, blocks, memory.mapHost(buffer, length, device));
}

/**
 * What of `wanted` is in `seen`. Nothing, where all of it is as before, or the zeros or ones that
 * stand for data which nobody sent.
 */
function judge(
  { seen }: ProofMemory,
  wanted: DmaBuffer,
  former: DmaBuffer,
  length: number,
): Pick<Finding, "wrongAt" | "isLost"> {
  const at = addon().compare(seen.memory, 0, wanted.memory, 0, length);
  if (at < 0) return { wrongAt: null, isLost: false };
  const isFormer = addon().compare(seen.memory, 0, former.memory, 0, length) < 0;
  return { wrongAt: at, isLost: isFormer || isBlank(new Uint8Array(seen.buffer, 0, length)) };
}

function isBlank(bytes: Uint8Array): boolean {
  const [first] = bytes;
  return (first === 0x00 || first === 0xff) && bytes.every((byte) => byte === first);
}
