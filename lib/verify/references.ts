/** What the blocks of a copy are held against: marks, or the source itself. */
import { addon } from "../addon.js";
import { diagnose, type Belonging } from "./diagnosis.js";
import type { Inspected, Reference } from "./inspect.js";
import type { Marks } from "./marks.js";
import { STAMP_BYTES, readStamp } from "./stamp.js";
import type { BlockWindow } from "./window.js";

/** The marks that the source was given before the copy. */
export function markedReference(marks: Marks, inspected: Inspected): Reference {
  return {
    isRight: (window, start, length, at) => marks.isRight(window, start, length, at),
    diagnose: (window, start, length, at) =>
      diagnose(window.bytes.subarray(start, start + length), marks.make(length, at), {
        isMarked: true,
        identify: (sector) =>
          marks.identify(window, start + sector, at + sector, (offset) =>
            inspected.placeOf(offset),
          ),
      }),
  };
}

/**
 * The source, which is read again: `original`, of its range. `blot`: the marks that the destination had
 * before the copy, so that what is left of them is known.
 */
export function sourceReference(
  original: BlockWindow,
  blot: Marks,
  inspected: Inspected,
): Reference {
  let windowAt = 0;
  let windowSize = 0;
  /** Elsewhere among the source's data around, if it is there once; or left of before the run. */
  const identify = (window: BlockWindow, at: number): Belonging => {
    const { buffer } = original.bytes;
    const data = Buffer.from(buffer, 0, windowSize);
    const found = window.bytes.subarray(at, at + STAMP_BYTES);
    const place = data.indexOf(found);
    if (place >= 0 && place % STAMP_BYTES === 0 && data.lastIndexOf(found) === place)
      return { place: inspected.placeOf(windowAt + place) };
    const isLeft = readStamp(window.words, at / 4)?.seed === blot.seed;
    return isLeft ? { earlier: "what was there before the run" } : null;
  };
  return {
    read: (at, size) => {
      windowAt = at;
      windowSize = size;
      return original.read(at, size);
    },
    isRight: (window, start, length) =>
      addon().compare(window.memory, start, original.memory, start, length) < 0,
    diagnose: (window, start, length) =>
      diagnose(
        window.bytes.subarray(start, start + length),
        original.bytes.subarray(start, start + length),
        { isMarked: false, identify: (sector) => identify(window, start + sector) },
      ),
  };
}
