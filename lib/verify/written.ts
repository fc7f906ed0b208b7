import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { diagnose } from "./diagnosis.js";
import { inspect, placesIn, type Reference, type Verification } from "./inspect.js";
import type { Marks } from "./marks.js";
import type { Bytes } from "./seal.js";
import { STAMP_BYTES, findHead, readStamp } from "./stamp.js";
import { Window, windowBytesFor } from "./window.js";
import { MANY, type Writers } from "./writers.js";

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

/** Where a run wrote. */
export interface WrittenRange {
  namespace: NvmeNamespace;
  /** Bytes from the start of the namespace. */
  offset: number;
  /** An entry for each I/O that the range has room for. */
  writers: Writers;
}

/** All that a run wrote, and from where. */
export interface Written {
  from: MarkedSlots;
  ranges: readonly WrittenRange[];
}

/** Before the run: what belongs in slot `slot`, whose first byte is at `start` of `memory`. */
export function fillSlot(
  memory: Bytes,
  start: number,
  slot: number,
  { marks, stride, ioSize }: MarkedSlots,
): void {
  marks.fill(memory, start, ioSize, slot * stride);
}

/**
 * After a run whose writes came from marked slots that nothing else filled: reads what was written back,
 * by way of host memory, and looks whether each I/O's blocks hold what its slot does. Where several I/Os
 * wrote the same place that is what any slot holds, or in each stamp's place that stamp of any, since two
 * may have met: there swapped I/Os are not seen, unlike stale, shifted and corrupted ones.
 * Errors: those of reading; INTERRUPTED.
 */
export function verifyWritten(
  session: Session,
  { from, ranges }: Written,
  signal?: AbortSignal,
): Promise<Verification> {
  return session.operation(signal, async (signal) => {
    const all: Verification = { blocks: 0, mismatches: 0, first: null };
    for (const { namespace, offset, writers } of ranges) {
      const bs = from.ioSize;
      const inspected = {
        ...placesIn(namespace, offset),
        ...{ bs, covered: coveredOf(writers, bs) },
        assertGoesOn: () => {
          signal.throwIfAborted();
        },
      };
      using window = new Window(session, namespace, offset, windowBytesFor(bs));
      const found = await inspect(inspected, window, slotReference(from, writers));
      all.blocks += found.blocks;
      all.mismatches += found.mismatches;
      all.first ??= found.first;
    }
    return all;
  });
}

/** Pieces of the range in which all that was written lies: reading on is faster than many small reads. */
function coveredOf(writers: Writers, ioSize: number): Range[] {
  const gap = windowBytesFor(ioSize);
  const covered: { start: number; end: number }[] = [];
  for (let io = 0; io < writers.length; io++) {
    if (writers[io] === 0) continue;
    const start = io * ioSize;
    const last = covered.at(-1);
    if (last !== undefined && start - last.end < gap) last.end = start + ioSize;
    else covered.push({ start, end: start + ioSize });
  }
  return covered;
}

function slotReference(from: MarkedSlots, writers: Writers): Reference {
  const { marks, stride, ioSize } = from;
  /** Where the slot begins that an I/O was written from; null: from more than one. */
  const writerOf = (at: number): number | null => {
    const mark = writers[at / ioSize]!;
    return mark === MANY ? null : (mark - 1) * stride;
  };
  return {
    passesOver: (at) => writers[at / ioSize] === 0,
    isRight: (window, start, length, at) => {
      const slot = writerOf(at);
      if (slot !== null) return marks.isRight(window, start, length, slot);
      const any = slotAt(from, window, start, 0);
      if (any !== null && marks.isRight(window, start, length, any)) return true;
      return isMixed(from, window, start, length);
    },
    diagnose: (window, start, length, at) => {
      const slot = writerOf(at) ?? anySlot(from, window, start, length) ?? 0;
      return diagnose(window.bytes.subarray(start, start + length), marks.make(length, slot), {
        isMarked: true,
        identify: (sector) =>
          marks.identify(window, start + sector, slot + sector, (offset) =>
            slotName(from, offset, slot),
          ),
      });
    },
  };
}

/** Whether each stamp is where it was in some slot. */
function isMixed(from: MarkedSlots, window: Bytes, start: number, length: number): boolean {
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

function slotName({ stride }: MarkedSlots, offset: number, slot: number): string {
  const place = `byte ${offset % stride} of slot ${Math.floor(offset / stride)}`;
  return `${place}, but it was written from slot ${slot / stride}`;
}
