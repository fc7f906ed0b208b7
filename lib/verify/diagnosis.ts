/** What became of a block that is not as it should be: words that tell one trouble from another. */
import { STAMP_BYTES } from "./stamp.js";

/**
 * - `stale`: nothing of this run: what was there before
 * - `swapped`: what belongs elsewhere in the range, in all or a part of it
 * - `torn`: a part arrived; the rest is what was there before
 * - `shifted`: what belongs there, but some bytes further on or back
 * - `corrupted`: what belongs there, but for some bytes of it
 * - `zeros`, `ones`: nothing but those; ones are what a PCIe read gives that failed
 * - `different`: not what was compared with, and no more can be told
 */
export type Defect =
  "stale" | "swapped" | "torn" | "shifted" | "corrupted" | "zeros" | "ones" | "different";

export interface Diagnosis {
  defect: Defect;
  /** The first byte that is wrong, from the start of the block. */
  at: number;
  /** One line: what is there instead. */
  what: string;
}

/** With the first bytes that are wrong, in words. */
export interface Finding extends Diagnosis {
  bytes: string;
}

/** What 512 bytes of a block are, if they are known: another place's, by its name, or an earlier run's. */
export type Belonging = { place: string } | { earlier: string } | null;

/** How to find out what wrong data is. */
export interface Evidence {
  /** The block carries marks: data without any is none of this run's. */
  isMarked: boolean;
  /** Of the 512 bytes at `at` of the block as it was found. */
  identify: (at: number) => Belonging;
}

/** What a memory write or a completion fills at once, mostly; nothing smaller gets lost alone. */
const LINE_BYTES = 64;
/** Marks begin with so many bytes of magic, seed and place. */
const HEAD_BYTES = 16;
/** Enough to be found in one place only. */
const NEEDLE_BYTES = 16;

/** Bytes that a finding shows. */
const SHOWN_BYTES = 8;

/** `found` and `expected`: one block, of whole stamps' length. */
export function diagnose(found: Uint8Array, expected: Uint8Array, evidence: Evidence): Finding {
  const wrong = compare(found, expected);
  const shown = (block: Uint8Array): string =>
    Buffer.from(block.subarray(wrong.first, wrong.first + SHOWN_BYTES)).toString("hex");
  const bytes = `byte ${wrong.first} on: expected ${shown(expected)}, found ${shown(found)}`;
  return { ...defectOf(found, expected, wrong, evidence), bytes };
}

function defectOf(
  found: Uint8Array,
  expected: Uint8Array,
  wrong: Wrong,
  evidence: Evidence,
): Diagnosis {
  const fill = fillOf(found);
  if (fill !== null) return { defect: fill, at: wrong.first, what: FILLS[fill] };
  return (
    findShift(found, expected, wrong) ??
    (wrong.isAll && wrong.isReplaced
      ? ofWhole(found, expected, evidence)
      : ofPart(found, wrong, evidence))
  );
}

interface Wrong {
  /** The first and the last byte that are wrong. */
  first: number;
  last: number;
  /** There is no line that is right. */
  isAll: boolean;
  /** Most words of the lines that are wrong are: data were replaced, not changed. */
  isReplaced: boolean;
}

function compare(found: Uint8Array, expected: Uint8Array): Wrong {
  const lines = new Set<number>();
  let first = -1;
  let last = -1;
  let words = 0;
  let lastWord = -1;
  for (let i = 0; i < found.length; i++) {
    if (found[i] === expected[i]) continue;
    if (first < 0) first = i;
    last = i;
    lines.add(Math.floor(i / LINE_BYTES));
    const word = Math.floor(i / 4);
    if (word !== lastWord) words++;
    lastWord = word;
  }
  return {
    first: Math.max(first, 0),
    last: Math.max(last, 0),
    isAll: lines.size === found.length / LINE_BYTES,
    isReplaced: 2 * words >= lines.size * (LINE_BYTES / 4),
  };
}

type Fill = "zeros" | "ones";
const FILLS: Record<Fill, string> = {
  zeros: "there are only zeros",
  ones: "there are only ones, as a PCIe read gives them that failed",
};

function fillOf(bytes: Uint8Array): Fill | null {
  const [byte] = bytes;
  if (byte !== 0 && byte !== 0xff) return null;
  return bytes.every((each) => each === byte) ? (byte === 0 ? "zeros" : "ones") : null;
}

/** Whether more than half of what is wrong, around its middle, stands elsewhere in the block as it should be. */
function findShift(
  found: Uint8Array,
  expected: Uint8Array,
  { first, last }: Wrong,
): Diagnosis | null {
  const length = last + 1 - first;
  if (length < LINE_BYTES) return null;
  const middle = first + Math.floor(length / 2) - NEEDLE_BYTES / 2;
  const needle = found.subarray(middle, middle + NEEDLE_BYTES);
  if (fillOf(needle) !== null) return null;
  const place = Buffer.from(expected.buffer, expected.byteOffset, expected.length).indexOf(needle);
  const shift = middle - place;
  if (place < 0 || shift === 0) return null;
  const isShifted = (i: number): boolean => found[i] === expected[i - shift];
  let start = middle;
  while (start > 0 && isShifted(start - 1)) start--;
  let end = middle;
  while (end <= last && isShifted(end)) end++;
  if (2 * (end - start) <= length) return null;
  const way = `${Math.abs(shift)} bytes further ${shift > 0 ? "on" : "back"}`;
  const what = `bytes ${start} to ${end - 1} of the block stand ${way} than they should`;
  return { defect: "shifted", at: Math.min(first, start), what };
}

function ofWhole(
  found: Uint8Array,
  expected: Uint8Array,
  { isMarked, identify }: Evidence,
): Diagnosis {
  const owner = identify(0);
  if (owner !== null && "place" in owner)
    return { defect: "swapped", at: 0, what: `there is what belongs at ${owner.place}` };
  if (owner !== null) return { defect: "stale", at: 0, what: `there is ${owner.earlier}` };
  const at = found.findIndex((byte, i) => byte !== expected[i]);
  if (!isMarked) return { defect: "different", at, what: "none of it is what the source has" };
  if (at >= HEAD_BYTES)
    return { defect: "corrupted", at, what: "its head is right, and nothing else of it" };
  return { defect: "stale", at: 0, what: "there is data without a mark of this run" };
}

function ofPart(found: Uint8Array, wrong: Wrong, { identify }: Evidence): Diagnosis {
  const { first, last } = wrong;
  if (!wrong.isReplaced)
    return {
      defect: "corrupted",
      at: first,
      what: `some of the bytes ${first} to ${last} of the block were changed`,
    };
  // The heads of stamps have bytes in common, so that what is wrong may begin in the midst of one.
  const stamp = Math.floor(first / STAMP_BYTES) * STAMP_BYTES;
  const [here, next] = [identify(stamp), nextStamp(stamp, last, identify)];
  const at = here === null ? first : stamp;
  const owner = here ?? next;
  if (owner !== null && "place" in owner) {
    const from = here === null ? stamp + STAMP_BYTES : stamp;
    const what = `in the bytes ${from} to ${last} of the block there is what belongs at ${owner.place}`;
    return { defect: "swapped", at, what };
  }
  const fill = fillOf(found.subarray(first, last + 1));
  const what = fill === null ? (owner?.earlier ?? "what was there before") : `only ${fill}`;
  return { defect: "torn", at, what: `${tear(at, last, found.length)} there is ${what}` };
}

function nextStamp(stamp: number, last: number, identify: Evidence["identify"]): Belonging {
  const next = stamp + STAMP_BYTES;
  return next + STAMP_BYTES <= last + 4 ? identify(next) : null;
}

/** The ends of what is wrong may happen to be equal for some bytes. */
function tear(at: number, last: number, length: number): string {
  if (last >= length - 4) return `from byte ${at} of the block on`;
  if (at < HEAD_BYTES) return `up to byte ${last} of the block`;
  return `in the bytes ${at} to ${last} of the block`;
}
