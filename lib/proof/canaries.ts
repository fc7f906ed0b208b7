import { addon } from "../addon.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import { PAGE } from "../nvme/spec.js";
import { isCompareFailure, isDataTransferError } from "../nvme/status.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { isBlank } from "./blank.js";
import { blocksOf, lengthsOf, readInto, TrialEnd } from "./leg.js";
import type { BlockRange, Leg, Trial } from "./leg.js";
import type { ProofMemory } from "./memory.js";
import { borrow } from "./scratch.js";

/** What became of one canary. */
export interface Finding {
  /** Bytes from the start of the provider. */
  place: number;
  length: number;
  /** Bytes from `place` to the first that is wrong; null where none is. */
  wrongAt: number | null;
  /** Nothing of it arrived. */
  isLost: boolean;
}

/** Device to peer memory: an NVMe Read of blocks that are known by way of host memory. */
export async function sendByRead({ leg, memory, signal }: Trial): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const length of lengthsOf(leg, memory)) {
    await readInto(memory.reference, leg, length, memory);
    for (const place of memory.places) {
      signal.throwIfAborted();
      memory.makePoison(0, length);
      memory.put(memory.poison, place, 0, length);
      const { lba, blocks, device } = blocksOf(leg, length);
      const target = memory.mapPeer(place, length, device);
      await throughPeer(leg.namespace.read(lba, blocks, target));
      memory.take(place, length);
      findings.push({ place, length, ...judge(memory, memory.reference, memory.poison, length) });
    }
  }
  return findings;
}

/**
 * Peer memory to device, with nothing written: an NVMe Compare of what the medium holds must succeed,
 * and one of poison must fail. A device that reads zeros or ones in place of the memory is found by
 * the first where the medium holds something else, and by the second where it holds just that. Where
 * either is not so, the same Compare from host memory shows whether that is the path's fault.
 *
 * Only one page is poisoned at a time: on the way to it no page says anything of another (the IOMMU
 * maps by the page, and no request crosses one: PCIe base §2.2.7), and one that is read right would
 * make the comparison fail for all.
 */
export async function sendByCompare(trial: Trial): Promise<Finding[]> {
  const { leg, memory, signal } = trial;
  const findings: Finding[] = [];
  for (const length of lengthsOf(leg, memory)) {
    await readInto(memory.reference, leg, length, memory);
    for (const place of memory.places) {
      signal.throwIfAborted();
      if (!(await isReferenceFound(trial, place, length))) {
        findings.push({ place, length, wrongAt: 0, isLost: true });
        continue;
      }
      const unnoticed = await findUnnoticed(trial, place, length);
      const isLost = unnoticed.length === Math.ceil(length / PAGE);
      findings.push({ place, length, wrongAt: unnoticed[0] ?? null, isLost });
    }
  }
  return findings;
}

/** Whether the device finds by way of the peer memory what the medium holds. */
async function isReferenceFound(
  { leg, memory }: Trial,
  place: number,
  length: number,
): Promise<boolean> {
  const { device } = blocksOf(leg, length);
  const isFound = (): Promise<boolean> => {
    memory.put(memory.reference, place, 0, length);
    return throughPeer(isEqual(leg, length, memory.mapPeer(place, length, device)));
  };
  const isFoundInHost = (): Promise<boolean> =>
    isEqual(leg, length, memory.mapHost(memory.reference, length, device));
  if (await isFound()) return true;
  if (await isFoundInHost()) return false;
  // Somebody may have written to the medium meanwhile.
  await readInto(memory.reference, leg, length, memory);
  if (await isFound()) return true;
  if (await isFoundInHost()) return false;
  throw new TrialEnd(
    "unproved",
    "the device's Compare fails by way of host memory, too: it does not work, or the medium changes",
  );
}

/** The pages whose poison the device does not notice, bytes from `place`. */
async function findUnnoticed(
  { leg, memory }: Trial,
  place: number,
  length: number,
): Promise<number[]> {
  const { device } = blocksOf(leg, length);
  const unnoticed: number[] = [];
  for (let at = 0; at < length; at += PAGE) {
    const part = Math.min(PAGE, length - at);
    memory.makePoison(at, part);
    memory.put(memory.poison, place, at, part);
    const data = memory.mapPeer(place, length, device);
    if (await throughPeer(isEqual(leg, length, data))) unnoticed.push(at);
    memory.put(memory.reference, place, at, part);
  }
  const isBlind =
    unnoticed.length > 0 &&
    (await isEqual(leg, length, memory.mapHost(memory.poison, length, device)));
  if (isBlind)
    throw new TrialEnd("unproved", "the device's Compare succeeds whatever it is given to compare");
  return unnoticed;
}

async function isEqual(leg: Leg, length: number, data: DmaVector): Promise<boolean> {
  const { lba, blocks } = blocksOf(leg, length);
  try {
    await leg.namespace.compare(lba, blocks, data);
    return true;
  } catch (error) {
    if (isCompareFailure(error)) return false;
    throw error;
  }
}

/** Peer memory to device: an NVMe Write of random bytes, which are read again by way of host memory. */
export function sendByWrite({ memory, signal }: Trial, scratch: BlockRange): Promise<Finding[]> {
  const lengths = lengthsOf(scratch, memory);
  return borrow(scratch, lengths.at(-1)!, memory, async () => {
    const findings: Finding[] = [];
    for (const length of lengths)
      for (const place of memory.places) {
        signal.throwIfAborted();
        await readInto(memory.reference, scratch, length, memory);
        memory.makePoison(0, length);
        memory.put(memory.poison, place, 0, length);
        const { lba, blocks, device } = blocksOf(scratch, length);
        const canary = memory.mapPeer(place, length, device);
        await throughPeer(scratch.namespace.write(lba, blocks, canary));
        await readInto(memory.seen, scratch, length, memory);
        const verdict = judge(memory, memory.poison, memory.reference, length);
        findings.push({ place, length, ...verdict });
      }
    return findings;
  });
}

/** A transfer between the device and the peer memory, which the device may say it cannot reach. */
async function throughPeer<T>(transfer: Promise<T>): Promise<T> {
  try {
    return await transfer;
  } catch (error) {
    if (!isDataTransferError(error)) throw error;
    throw new TrialEnd("refused", `at the peer memory, ${(error as Error).message}`);
  }
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
