import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import { allSettled } from "../try-all.js";
import type { Defect, Finding } from "./diagnosis.js";
import { windowBytesFor, type BlockWindow } from "./window.js";

export interface Verification {
  /** Blocks that were looked at, and those of them that are wrong. */
  blocks: number;
  mismatches: number;
  first: Mismatch | null;
}

export interface Mismatch {
  /** The first wrong byte, counted from the start of the range. */
  offset: number;
  defect: Defect;
  /** One line: device, namespace and logical block, the defect, what is there instead, and bytes of both. */
  message: string;
}

/** A range that is looked at, or overwritten, in blocks of `bs` bytes. */
export interface BlockRange {
  bs: number;
  /** Errors: INTERRUPTED. */
  assertGoesOn(): void;
}

/** What is looked at. */
export interface Inspected extends BlockRange {
  /** What the range is a part of: `0000:03:00.0/1`, `/dev/nvme0n1`. */
  name: string;
  /** What is so many bytes from the start of the range, as the device addresses it. */
  placeOf(at: number): string;
  /** The parts of it, between borders of blocks: bytes from the start of the range. */
  covered: readonly Range[];
}

/** What the blocks are held against. `at`: of the block, from the start of the range. */
export interface Reference {
  /** Makes itself ready for a piece of the range. */
  read?(at: number, size: number): Promise<void>;
  /** Blocks that the run has left alone. */
  passesOver?(at: number): boolean;
  /** `start`: of the block in the window. */
  isRight(window: BlockWindow, start: number, length: number, at: number): boolean;
  /** Of a block that is not. */
  diagnose(window: BlockWindow, start: number, length: number, at: number): Finding;
}

/**
 * Reads the blocks into host memory, window by window, and counts those that are wrong. `window`: of the
 * range, {@link windowBytesFor} its blocks. Errors: those of reading; INTERRUPTED.
 */
export async function inspect(
  inspected: Inspected,
  window: BlockWindow,
  reference: Reference,
): Promise<Verification> {
  const { bs, covered } = inspected;
  const result: Verification = { blocks: 0, mismatches: 0, first: null };
  for (const { start: at, end } of windowsOf(covered, bs)) {
    inspected.assertGoesOn();
    const size = end - at;
    // Neither buffer may go while the other's read runs.
    await allSettled([window.read(at, size), reference.read?.(at, size) ?? Promise.resolve()]);
    for (let start = 0; start < size; start += bs)
      look(result, inspected, reference, window, start, Math.min(bs, size - start), at + start);
  }
  return result;
}

function look(
  result: Verification,
  inspected: Inspected,
  reference: Reference,
  window: BlockWindow,
  start: number,
  length: number,
  at: number,
): void {
  if (reference.passesOver?.(at) === true) return;
  result.blocks++;
  if (reference.isRight(window, start, length, at)) return;
  result.mismatches++;
  result.first ??= mismatch(inspected, reference.diagnose(window, start, length, at), at);
}

function mismatch(inspected: Inspected, finding: Finding, block: number): Mismatch {
  const { defect, at, what, bytes } = finding;
  const offset = block + at;
  const { name, bs } = inspected;
  const where = `${name}, ${inspected.placeOf(offset)}`;
  const message = `${where}: ${defect}: ${what}; ${bytes} (blocks of ${bs} bytes)`;
  return { offset, defect, message };
}

/** Names for what is inspected of a namespace. `offset`: bytes from its start to that of the range. */
export function placesIn(
  { controller, nsid, blockSize }: NvmeNamespace,
  offset: number,
): Pick<Inspected, "name" | "placeOf"> {
  return {
    name: `${controller.address}/${nsid}`,
    placeOf: (at) => {
      const byte = offset + at;
      return `LBA ${Math.floor(byte / blockSize)} (byte ${byte})`;
    },
  };
}

/** Pieces that fit into a window. */
export function* windowsOf(ranges: readonly Range[], bs: number): Generator<Range> {
  const windowBytes = windowBytesFor(bs);
  for (const { start, end } of ranges)
    for (let at = start; at < end; at += windowBytes)
      yield { start: at, end: Math.min(at + windowBytes, end) };
}
