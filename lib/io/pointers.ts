import type { DataPointers } from "../nvme/descriptors/data-pointer.js";
import type { ListMemory } from "../nvme/descriptors/lists.js";
import type { DmaVector } from "../sgl/dma-vector.js";

/** Where the commands of a job's slots find their data, in the vector of their memory. Bytes. */
export interface SlotLayout {
  /** How far into the vector the first slot is, and the next one from there. */
  offset: number;
  slots: number;
  stride: number;
  /** Of a slot's I/O, and of a command of it at most. */
  ioBytes: number;
  commandBytes: number;
}

/** The `command`th command's data: bytes from the start of its slot, and how many. */
export function commandPlace(
  { ioBytes, commandBytes }: Pick<SlotLayout, "ioBytes" | "commandBytes">,
  command: number,
): { at: number; length: number } {
  const at = command * commandBytes;
  return { at, length: Math.min(commandBytes, ioBytes - at) };
}

/** Bytes from list to list, so that each command of each slot has room for its own; 0: none needs one. */
export function listStride(kind: DataPointers, vector: DmaVector, layout: SlotLayout): number {
  let most = 0;
  forEachCommand(layout, (_index, offset, length) => {
    most = Math.max(most, kind.listBytesFor(vector, offset, length));
  });
  return most;
}

/**
 * Four words for each command of each slot; `openLists` gives memory for their lists. Errors: those of
 * building data pointers, and of `openLists`.
 */
export function buildPointers(
  kind: DataPointers,
  vector: DmaVector,
  layout: SlotLayout,
  openLists: (size: number) => ListMemory,
): Int32Array {
  const commands = Math.ceil(layout.ioBytes / layout.commandBytes);
  const stride = listStride(kind, vector, layout);
  const size = layout.slots * commands * stride;
  const builder = kind.builder(size === 0 ? NO_LISTS : openLists(size));
  const pointers = new Int32Array(layout.slots * commands * 4);
  forEachCommand(layout, (index, offset, length) => {
    builder.build(vector, offset, length, index * stride, stride);
    const { word0, word1, word2, word3 } = builder;
    pointers.set([word0, word1, word2, word3], index * 4);
  });
  return pointers;
}

export const NO_LISTS: ListMemory = { buffer: new ArrayBuffer(0), iova: 0 };

function forEachCommand(
  layout: SlotLayout,
  visit: (index: number, offset: number, length: number) => void,
): void {
  const commands = Math.ceil(layout.ioBytes / layout.commandBytes);
  for (let slot = 0; slot < layout.slots; slot++)
    for (let command = 0; command < commands; command++) {
      const { at, length } = commandPlace(layout, command);
      visit(slot * commands + command, layout.offset + slot * layout.stride + at, length);
    }
}
