import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { allSettled } from "../try-all.js";
import type { Defect, Finding } from "./diagnosis.js";
import { Window, windowBytesFor } from "./window.js";

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

/** Part of a namespace that is looked at, in blocks. Bytes. */
export interface Inspected {
  namespace: NvmeNamespace;
  offset: number;
  length: number;
  bs: number;
  /** From the start of the range, between borders of blocks; without it all. */
  covered: readonly Range[] | undefined;
}

/** What the blocks are held against. `at`: of the block, from the start of the range. */
export interface Reference {
  /** Makes itself ready for a piece of the range. */
  read?(at: number, size: number): Promise<void>;
  /** Blocks that the run has left alone. */
  passesOver?(at: number): boolean;
  /** `start`: of the block in the window. */
  isRight(window: Window, start: number, length: number, at: number): boolean;
  /** Of a block that is not. */
  diagnose(window: Window, start: number, length: number, at: number): Finding;
  close?(): void;
}

/**
 * Reads the blocks into host memory, window by window, and counts those that are wrong. `open`: told
 * the bytes of a window, at most. Errors: those of reading; INTERRUPTED.
 */
export async function inspect(
  session: Session,
  signal: AbortSignal,
  inspected: Inspected,
  open: (windowBytes: number) => Reference,
): Promise<Verification> {
  const { namespace, offset, length, bs, covered } = inspected;
  const windowBytes = windowBytesFor(bs);
  const result: Verification = { blocks: 0, mismatches: 0, first: null };
  const window = new Window(session, namespace, offset, windowBytes);
  try {
    const reference = open(windowBytes);
    try {
      for (const { start: at, end } of windows(covered, length, windowBytes)) {
        signal.throwIfAborted();
        const size = end - at;
        // Neither buffer may go while the other's read runs.
        await allSettled([window.read(at, size), reference.read?.(at, size) ?? Promise.resolve()]);
        for (let start = 0; start < size; start += bs)
          look(result, inspected, reference, window, start, Math.min(bs, size - start), at + start);
      }
      return result;
    } finally {
      reference.close?.();
    }
  } finally {
    window.close();
  }
}

function look(
  result: Verification,
  inspected: Inspected,
  reference: Reference,
  window: Window,
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
  const { namespace, bs } = inspected;
  const where = `${namespace.controller.address}/${namespace.nsid}, ${placeIn(inspected, offset)}`;
  const message = `${where}: ${defect}: ${what}; ${bytes} (blocks of ${bs} bytes)`;
  return { offset, defect, message };
}

/** What is so many bytes from the start of the range, as the device addresses it. */
export function placeIn(
  { namespace, offset }: Pick<Inspected, "namespace" | "offset">,
  at: number,
): string {
  const byte = offset + at;
  return `LBA ${Math.floor(byte / namespace.blockSize)} (byte ${byte})`;
}

function* windows(
  covered: readonly Range[] | undefined,
  length: number,
  windowBytes: number,
): Generator<Range> {
  for (const { start, end } of covered ?? [{ start: 0, end: length }])
    for (let at = start; at < end; at += windowBytes)
      yield { start: at, end: Math.min(at + windowBytes, end) };
}
