/** The ranges of Dataset Management commands (NVMe 1.4 §6.7; limits: NVM Command Set 1.0 §3.2.3). */
import type { NvmLimits } from "./admin/nvm-limits.js";
import { DSM } from "./spec.js";

/** Blocks of a namespace. */
export interface BlockRange {
  lba: number;
  /** 1 or more. */
  blocks: number;
}

/** The same blocks in as few commands as the limits allow: a list of ranges for each. */
export function batchRanges(ranges: readonly BlockRange[], limits: NvmLimits): BlockRange[][] {
  const batches: BlockRange[][] = [];
  let batch: BlockRange[] = [];
  let room = 0;
  for (const { lba, blocks } of ranges)
    for (let done = 0; done < blocks;) {
      if (batch.length === limits.ranges || room === 0) {
        batches.push((batch = []));
        room = limits.totalBlocks;
      }
      const count = Math.min(blocks - done, limits.rangeBlocks, room);
      batch.push({ lba: lba + done, blocks: count });
      done += count;
      room -= count;
    }
  return batches;
}

/** Figure 379: context attributes (none), length in blocks, first block. */
export function writeRanges(target: DataView, ranges: readonly BlockRange[]): void {
  for (const [index, { lba, blocks }] of ranges.entries()) {
    const at = index * DSM.RANGE_BYTES;
    target.setUint32(at, 0, true);
    target.setUint32(at + 4, blocks, true);
    target.setBigUint64(at + 8, BigInt(lba), true);
  }
}
