import type { NvmeNamespace } from "../nvme/namespace.js";
import { MAX_BLOCKS, PAGE } from "../nvme/spec.js";

/** Blocks of less than a page share one; others begin at one, which spares a PRP entry. */
export function slotStride(bs: number): number {
  return bs < PAGE ? bs : Math.ceil(bs / PAGE) * PAGE;
}

/** Bytes of a block that one command to `namespace` moves, at most. */
export function commandBytes({ blockSize, controller }: NvmeNamespace, bs: number): number {
  const most = Math.min(controller.maxTransfer, MAX_BLOCKS * blockSize);
  return Math.min(bs, most - (most % blockSize));
}
