import type { Descriptors } from "../nvme/descriptors/data-pointer.js";
import type { ListMemory } from "../nvme/descriptors/lists.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { buildPointers, type SlotLayout } from "./pointers.js";
import type { BlockShape, SideJob } from "./side.js";

/**
 * How the commands of slots whose memory stays mapped name it; `flags` is what that adds to their
 * opcode. `layout`: of whole blocks; `lastBytes`: of the last one. `openLists` gives memory for lists.
 * Errors: those of DmaVector.assertUsableBy(), of building data pointers, and of `openLists`.
 */
export function mapShapes(
  { controller, blockSize }: NvmeNamespace,
  vector: DmaVector,
  layout: SlotLayout,
  { lastBytes, descriptors }: { lastBytes: number; descriptors?: Descriptors | undefined },
  openLists: (size: number) => ListMemory,
): Pick<SideJob, "whole" | "last"> & { flags: number } {
  vector.assertUsableBy(controller.address);
  const { ioBytes, commandBytes } = layout;
  // One kind for all commands of a side: it is a part of the opcode.
  const kind = controller.dataPointers
    .choose(descriptors)
    .settle(vector, 0, Math.min(commandBytes, ioBytes));
  const shape = (bytes: number): BlockShape => ({
    blocks: bytes / blockSize,
    pointers: buildPointers(kind, vector, { ...layout, ioBytes: bytes }, openLists),
  });
  const whole = shape(ioBytes);
  const last = lastBytes === ioBytes ? whole : shape(lastBytes);
  return { flags: kind.flags, whole, last };
}
