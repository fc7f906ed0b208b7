import { addon } from "../addon.js";
import type { DmaBuffer } from "../dma/dma-buffer.js";
import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import type { DmaVector } from "../sgl/dma-vector.js";
import { ScatterList } from "../sgl/scatterlist.js";
import { checkWritable } from "../io/namespaces.js";
import { checkRanges } from "./check.js";
import type { CheckedRanges } from "./check.js";
import type { CopyPlan } from "./plan.js";
import { STAMP_BYTES, checkStamp, fillStamps } from "./stamp.js";
import type { StampDefect } from "./stamp.js";

/** Bytes that are read at once; a multiple of all common block sizes. */
const WINDOW_BYTES = 4 * 2 ** 20;

export interface Verification {
  /** Copy blocks that were looked at, and those of them that are wrong. */
  blocks: number;
  mismatches: number;
  /** The first wrong byte, counted from the start of the range; with stamps, what it looks like. */
  first: { offset: number; defect: StampDefect | null } | null;
}

/**
 * Reads source and destination back into host memory and compares them; `covered` (bytes from the
 * start of the range, between borders of blocks) says which parts, by default all. Writes nothing.
 * Errors: those of checkRanges() and of reading; INTERRUPTED.
 */
export function verifyCopy(
  session: Session,
  plan: CopyPlan,
  covered?: readonly Range[],
): Promise<Verification> {
  return inspect(session, plan, covered, (ranges, bytes) => {
    const source = new Window(session, ranges.source, plan.source.offset, bytes);
    return {
      read: (at, size) => source.read(at, size),
      find: (destination, _at, offset, length) =>
        findDifference(source, destination, offset, length),
      close: () => {
        source.close();
      },
    };
  });
}

/**
 * Reads the destination back and looks for the stamps that {@link stampSource} has given the source.
 * Errors: as {@link verifyCopy}.
 */
export function checkStamps(
  session: Session,
  plan: CopyPlan,
  seed: number,
  covered?: readonly Range[],
): Promise<Verification> {
  return inspect(session, plan, covered, () => ({
    read: () => Promise.resolve(),
    find: (destination, at, offset, length) => findBadStamp(destination, at, offset, length, seed),
    close: () => undefined,
  }));
}

/** What the destination is held against. */
interface Reference {
  /** Makes itself ready for a piece of the range. */
  read(at: number, size: number): Promise<void>;
  /** `at`: where the window is in the range; `offset`, `length`: a block inside the window. */
  find(destination: Window, at: number, offset: number, length: number): Wrong;
  close(): void;
}

/** Goes through what is covered of the destination's range, window by window, and counts its blocks. */
function inspect(
  session: Session,
  plan: CopyPlan,
  covered: readonly Range[] | undefined,
  open: (ranges: CheckedRanges, windowBytes: number) => Reference,
): Promise<Verification> {
  return session.operation(plan.signal, async (signal) => {
    const ranges = await checkRanges(session, plan);
    const { bs } = plan;
    const windowBytes = Math.max(1, Math.floor(WINDOW_BYTES / bs)) * bs;
    const destination = new Window(
      session,
      ranges.destination,
      plan.destination.offset,
      windowBytes,
    );
    const result: Verification = { blocks: 0, mismatches: 0, first: null };
    try {
      const reference = open(ranges, windowBytes);
      try {
        for (const { start: at, end } of windows(covered, ranges.length, windowBytes)) {
          signal.throwIfAborted();
          const size = end - at;
          await bothSettled(destination.read(at, size), reference.read(at, size));
          for (let offset = 0; offset < size; offset += bs) {
            const wrong = reference.find(destination, at, offset, Math.min(bs, size - offset));
            result.blocks++;
            if (wrong === null) continue;
            result.mismatches++;
            result.first ??= { offset: at + wrong.offset, defect: wrong.defect };
          }
        }
        return result;
      } finally {
        reference.close();
      }
    } finally {
      destination.close();
    }
  });
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

/** Throws what one of them throws, but only once neither uses its buffer any more. */
async function bothSettled(...reads: Promise<void>[]): Promise<void> {
  for (const read of await Promise.allSettled(reads))
    if (read.status === "rejected") throw read.reason;
}

/**
 * Writes stamps over the source's range: every 512 bytes say where they belong, and `seed`. The
 * source's data is gone afterwards. Errors: WRITE_NOT_ALLOWED, as for a destination; those of
 * checkRanges() and of writing.
 */
export function stampSource(session: Session, plan: CopyPlan, seed: number): Promise<void> {
  return session.operation(plan.signal, async (signal) => {
    checkWritable(session, plan, plan.source);
    const { source, length } = await checkRanges(session, plan);
    source.permitWrites();
    const window = new Window(session, source, plan.source.offset, WINDOW_BYTES);
    try {
      for (let at = 0; at < length; at += WINDOW_BYTES) {
        signal.throwIfAborted();
        const size = Math.min(WINDOW_BYTES, length - at);
        fillStamps(window.words.subarray(0, size / 4), at, seed);
        await window.write(at, size);
      }
      await source.flush();
    } finally {
      window.close();
    }
  });
}

/** A piece of a namespace's range in host memory, at one place after another. */
class Window {
  readonly buffer: DmaBuffer;
  readonly words: Uint32Array;
  readonly #session: Session;
  readonly #namespace: NvmeNamespace;
  readonly #offset: number;

  /** `offset`: bytes from the start of the namespace to that of the range. */
  constructor(session: Session, namespace: NvmeNamespace, offset: number, size: number) {
    this.#session = session;
    this.#namespace = namespace;
    this.#offset = offset;
    this.buffer = session.addressSpace.allocate(size, { huge: true });
    this.words = new Uint32Array(this.buffer.buffer);
  }

  /** `at`: bytes from the start of the range. */
  read(at: number, size: number): Promise<void> {
    return this.#withVector(size, (vector) =>
      this.#namespace.read(this.#lba(at), vector.byteLength / this.#namespace.blockSize, vector),
    );
  }

  write(at: number, size: number): Promise<void> {
    return this.#withVector(size, (vector) =>
      this.#namespace.write(this.#lba(at), vector.byteLength / this.#namespace.blockSize, vector),
    );
  }

  close(): void {
    this.buffer.close();
  }

  #lba(at: number): number {
    return (this.#offset + at) / this.#namespace.blockSize;
  }

  async #withVector(size: number, transfer: (vector: DmaVector) => Promise<void>): Promise<void> {
    const list = new ScatterList(this.#session.addressSpace).addHost(this.buffer, 0, size);
    const vector = list.map(this.#namespace.controller);
    try {
      await transfer(vector);
    } finally {
      vector.unmap();
    }
  }
}

/** What is wrong with a block, and where in the window. */
type Wrong = { offset: number; defect: StampDefect | null } | null;

function findDifference(a: Window, b: Window, offset: number, length: number): Wrong {
  const at = addon().compare(a.buffer.memory, offset, b.buffer.memory, offset, length);
  return at < 0 ? null : { offset: offset + at, defect: null };
}

function findBadStamp(
  window: Window,
  at: number,
  offset: number,
  length: number,
  seed: number,
): Wrong {
  for (let stamp = offset; stamp < offset + length; stamp += STAMP_BYTES) {
    const defect = checkStamp(window.words, stamp / 4, at + stamp, seed);
    if (defect !== null) return { offset: stamp, defect };
  }
  return null;
}
