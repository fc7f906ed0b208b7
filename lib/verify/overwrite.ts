import { windowsOf, type BlockRange } from "./inspect.js";
import type { Marks } from "./marks.js";
import type { BlockWindow } from "./window.js";

/** The marks of what a comparison with the source must not find. */
export const BLOT = "pattern";

/**
 * OVERWRITES the first `length` bytes of a window's range with marked blocks; flushing is left to the
 * caller. Errors: those of writing; INTERRUPTED.
 */
export async function overwrite(
  range: BlockRange,
  window: BlockWindow,
  length: number,
  marks: Marks,
): Promise<void> {
  const { bs } = range;
  for (const { start: at, end } of windowsOf([{ start: 0, end: length }], bs)) {
    range.assertGoesOn();
    const size = end - at;
    for (let start = 0; start < size; start += bs)
      marks.fill(window, start, Math.min(bs, size - start), at + start);
    await window.write(at, size);
  }
}
