import type { NvmeNamespace } from "../nvme/namespace.js";
import { MAX_BLOCKS, PAGE } from "../nvme/spec.js";
import type { Registration } from "./run-plan.js";

/**
 * Blocks of less than a page share one; others begin at one, which spares a PRP entry. So do all that
 * are mapped for each I/O.
 */
export function slotStride(bs: number, registration: Registration = "once"): number {
  return bs < PAGE && registration === "once" ? bs : wholePages(bs);
}

export function wholePages(bytes: number): number {
  return Math.ceil(bytes / PAGE) * PAGE;
}

/** Bytes of a block that one command to `namespace` moves, at most. */
export function commandBytes({ blockSize, controller }: NvmeNamespace, bs: number): number {
  const most = Math.min(controller.maxTransfer, MAX_BLOCKS * blockSize);
  return Math.min(bs, most - (most % blockSize));
}
