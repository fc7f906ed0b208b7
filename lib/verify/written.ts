import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { diagnose } from "./diagnosis.js";
import { inspect, type Reference, type Verification } from "./inspect.js";
import type { Marks } from "./marks.js";
import type { Bytes } from "./seal.js";
import { STAMP_BYTES, findHead, readStamp } from "./stamp.js";
import type { Window } from "./window.js";

/**
 * The buffers of a run of writes that copies nothing: one after the other, each so many bytes behind
 * the one before, and each with marks by which what was written from it is known.
 */
export interface MarkedSlots {
  marks: Marks;
  slots: number;
  /** Bytes from one slot to the next, and those of a slot that are written: whole stamps. */
  stride: number;
  ioSize: number;
}

/** Where writes went. Bytes. */
export interface WrittenRange {
  namespace: NvmeNamespace;
  /** From the start of the namespace. */
  offset: number;
  /** Whole I/Os. */
  length: number;
  /**
   * What was written for certain, from the range's start, between borders of I/Os; null: nobody knows,
   * as with random writes.
   */
  covered: readonly Range[] | null;
  signal?: AbortSignal;
}

/** Before the run. `memory`: host memory of all slots; for a BAR it is copied from there. */
export function fillSlots(memory: Bytes, { marks, slots, stride, ioSize }: MarkedSlots): void {
  for (let slot = 0; slot < slots; slot++) marks.fill(memory, slot * stride, ioSize, slot * stride);
}

/**
 * After a run that did nothing but write, always from the same slots: reads the range back, by way of
 * host memory, and looks whether each I/O's blocks hold what one of the slots does, whichever. Swapped
 * I/Os are thus not seen, unlike stale, torn, shifted and corrupted ones.
 *
 * Where nobody knows what was written, blocks without a mark of this run are passed over: a lost write
 * is seen only where it left a part, or if all were lost. Two I/Os may then have met, and each have
 * left a part. Errors: those of reading; INTERRUPTED.
 */
export function verifyWritten(
  session: Session,
  { namespace, offset, length, covered, signal }: WrittenRange,
  from: MarkedSlots,
): Promise<Verification> {
  const range = { namespace, offset, length, bs: from.ioSize };
  return session.operation(signal, async (signal) => {
    const known = slotReference(from);
    if (covered !== null) return inspect(session, signal, { ...range, covered }, () => known);
    const all = { ...range, covered: undefined };
    const found = await inspect(session, signal, all, () => withUnknown(from, known));
    if (found.blocks > 0) return found;
    const first = [{ start: 0, end: Math.min(length, from.ioSize) }];
    return inspect(session, signal, { ...range, covered: first }, () => known);
  });
}

function slotReference(from: MarkedSlots): Reference {
  const { marks } = from;
  return {
    isRight: (window, start, length) => {
      const slot = slotAt(from, window, start, 0);
      return slot !== null && marks.isRight(window, start, length, slot);
    },
    diagnose: (window, start, length) => {
      const slot = anySlot(from, window, start, length) ?? 0;
      return diagnose(window.bytes.subarray(start, start + length), marks.make(length, slot), {
        isMarked: true,
        identify: (sector) =>
          marks.identify(window, start + sector, slot + sector, (offset) => placeIn(from, offset)),
      });
    },
  };
}

function withUnknown(from: MarkedSlots, known: Reference): Reference {
  return {
    ...known,
    passesOver: (window, start, length) => anySlot(from, window, start, length) === null,
    isRight: (window, start, length, at) =>
      known.isRight(window, start, length, at) || isMixed(from, window, start, length),
  };
}

/** Whether each stamp is where it was in some slot. */
function isMixed(from: MarkedSlots, window: Window, start: number, length: number): boolean {
  for (let sector = 0; sector < length; sector += STAMP_BYTES)
    if (slotAt(from, window, start, sector) === null) return false;
  return true;
}

/** Where the slot begins whose stamp is at `sector` of an I/O's blocks, at its place; null: none. */
function slotAt(
  { marks, slots, stride }: MarkedSlots,
  { words }: Bytes,
  start: number,
  sector: number,
): number | null {
  const origin = readStamp(words, (start + sector) / 4);
  if (origin === null || origin.seed !== marks.seed) return null;
  const slot = origin.offset - sector;
  return slot >= 0 && slot % stride === 0 && slot < slots * stride ? slot : null;
}

/** Some slot of which there is a mark at all, be it shifted; null: there is none of this run. */
function anySlot(
  { marks, slots, stride }: MarkedSlots,
  { bytes }: Bytes,
  start: number,
  length: number,
): number | null {
  const offset = findHead(bytes.subarray(start, start + length), marks.seed);
  if (offset === null) return null;
  // One past the last is of a run that had more of them.
  return offset < slots * stride ? Math.floor(offset / stride) * stride : 0;
}

function placeIn({ stride }: MarkedSlots, offset: number): string {
  return `byte ${offset % stride} of slot ${Math.floor(offset / stride)}`;
}
