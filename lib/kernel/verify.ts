import { fsync, read, write } from "node:fs";
import { promisify } from "node:util";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import { Host } from "../host/host.js";
import { allSettled, tryAll } from "../try-all.js";
import { diagnose, type Belonging, type Diagnosis } from "../verify/diagnosis.js";
import type { Verification } from "../verify/inspect.js";
import { Marks } from "../verify/marks.js";
import type { VerifyMode } from "../verify/mode.js";
import type { Bytes } from "../verify/seal.js";
import { readStamp, STAMP_BYTES } from "../verify/stamp.js";
import { windowBytesFor } from "../verify/window.js";
import { checkKernelPlan, checkRanges, type CheckedRange } from "./check.js";
import { shortTransfer, transferError } from "./failure.js";
import type { KernelPlan } from "./plan.js";
import { openTarget } from "./target.js";

/** How a copy is verified. `seed`: 32 bits, another one for each run; `memcmp` needs none. */
export interface KernelVerifyOptions {
  mode: VerifyMode;
  seed: number;
}

/**
 * Before a copy that is to be verified by marks: writes them over the source's range, whose data are
 * gone afterwards. The mode `memcmp` needs none, and writes nothing.
 * Errors: those of runKernel() for a plan whose source is written; IO, of writing; INTERRUPTED.
 */
export async function prepareKernelSource(
  plan: KernelPlan,
  { mode, seed }: KernelVerifyOptions,
  host = new Host(),
): Promise<void> {
  if (mode !== "memcmp") await mark(plan, 0, new Marks(mode, seed), host);
}

/**
 * Before a copy that is to be verified by `memcmp`: writes marks over the destination's range, or what
 * an earlier copy of the same source left there would pass for this one's.
 * Errors: those of runKernel(); IO, of writing; INTERRUPTED.
 */
export async function blotKernelDestination(
  plan: KernelPlan,
  seed: number,
  host = new Host(),
): Promise<void> {
  await mark(plan, 1, new Marks(BLOT, seed), host);
}

/** The marks of what a comparison must not find. */
const BLOT = "pattern";

/** `end`: 0, the source; 1, the destination. */
async function mark(plan: KernelPlan, end: 0 | 1, marks: Marks, host: Host): Promise<void> {
  await withEnds(plan, host, end, async (ranges, open) => {
    const { bs } = plan;
    const range = ranges[end];
    const window = open(range);
    for (const { start: at, end: last } of windowsOf([{ start: 0, end: range.length }], bs)) {
      assertGoesOn(plan);
      const size = last - at;
      for (let start = 0; start < size; start += bs)
        marks.fill(window, start, Math.min(bs, size - start), at + start);
      await window.write(at, size);
    }
    await flush(range.target.fd);
  });
}

/**
 * Reads what a copy has covered of its destination back, with O_DIRECT into ordinary memory, and looks
 * whether each block is the one that belongs there: by the marks that prepareKernelSource() gave the
 * source with the same options, or (`memcmp`, the default) by comparing it with the source, where what is
 * left of blotKernelDestination() with the same seed is known. `covered`: as the measurement has it.
 * Writes nothing.
 * Errors: those of runKernel() for a plan; IO, of reading; INTERRUPTED.
 */
export async function verifyKernelCopy(
  plan: KernelPlan,
  covered: readonly Range[],
  { mode, seed }: KernelVerifyOptions = { mode: "memcmp", seed: 0 },
  host = new Host(),
): Promise<Verification> {
  return withEnds(plan, host, null, async ([source, destination], open) => {
    const window = open(destination);
    const reference =
      mode === "memcmp"
        ? new Original(open(source), window, new Marks(BLOT, seed))
        : new MarkedBlocks(new Marks(mode, seed), window);
    const result: Verification = { blocks: 0, mismatches: 0, first: null };
    for (const { start: at, end } of windowsOf(covered, plan.bs)) {
      assertGoesOn(plan);
      // Neither buffer may go while the other's read runs.
      await allSettled([window.read(at, end - at), reference.read(at, end - at)]);
      for (let start = 0; start < end - at; start += plan.bs) {
        const length = Math.min(plan.bs, end - at - start);
        result.blocks++;
        if (reference.isRight(start, length, at + start)) continue;
        result.mismatches++;
        if (result.first !== null) continue;
        const { at: wrong, defect, what } = reference.diagnose(start, length, at + start);
        const offset = at + start + wrong;
        const message = `${window.placeOf(offset)}: ${defect}: ${what} (blocks of ${plan.bs} bytes)`;
        result.first = { offset, defect, message };
      }
    }
    return result;
  });
}

/** Runs `work` on the ranges of source and destination, of which it may write one; then lets go of them. */
async function withEnds<T>(
  plan: KernelPlan,
  host: Host,
  written: 0 | 1 | null,
  work: (
    ends: [source: CheckedRange, destination: CheckedRange],
    open: (range: CheckedRange) => FileWindow,
  ) => Promise<T>,
): Promise<T> {
  checkKernelPlan(plan);
  const tree = host.pci();
  const closers: (() => void)[] = [];
  try {
    const targets = [];
    for (const [index, endpoint] of [...plan.sources, plan.destination!].entries()) {
      const isWritten = index === written;
      const target = await openTarget(host, tree, endpoint, isWritten, new Set());
      closers.push(() => {
        target.close();
      });
      targets.push(target);
    }
    const ranges = checkRanges(plan, targets) as [CheckedRange, CheckedRange];
    return await work(ranges, (range) => {
      const window = new FileWindow(range, windowBytesFor(plan.bs));
      closers.push(() => {
        window.close();
      });
      return window;
    });
  } finally {
    tryAll(closers.reverse());
  }
}

function assertGoesOn({ signal }: KernelPlan): void {
  if (signal?.aborted === true) throw new P2pError("INTERRUPTED", "interrupted while verifying");
}

/** Pieces of ranges that fit into a window. */
function* windowsOf(ranges: readonly Range[], bs: number): Generator<Range> {
  const size = windowBytesFor(bs);
  for (const { start, end } of ranges)
    for (let at = start; at < end; at += size) yield { start: at, end: Math.min(at + size, end) };
}

const readInto = promisify(read);
const writeFrom = promisify(write);
const flush = promisify(fsync);

/** A piece of a target's range in ordinary memory, at one place after another. */
class FileWindow implements Bytes {
  readonly memory: NativeMemory;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly #range: CheckedRange;

  /** Errors: NO_MEMORY, MEMLOCK. */
  constructor(range: CheckedRange, size: number) {
    this.#range = range;
    this.memory = addon().allocatePinned(size, true);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.words = new Uint32Array(this.memory.buffer);
  }

  /** `at`: bytes from the start of the range. Errors: IO. */
  async read(at: number, length: number): Promise<void> {
    const { fd, place } = this.#at(at);
    try {
      const { bytesRead } = await readInto(fd, this.bytes, 0, length, place);
      if (bytesRead !== length) throw this.#short("a read", place, bytesRead, length);
    } catch (error) {
      throw transferError(error, this.#file, place);
    }
  }

  async write(at: number, length: number): Promise<void> {
    const { fd, place } = this.#at(at);
    try {
      const { bytesWritten } = await writeFrom(fd, this.bytes, 0, length, place);
      if (bytesWritten !== length) throw this.#short("a write", place, bytesWritten, length);
    } catch (error) {
      throw transferError(error, this.#file, place);
    }
  }

  /** What is so many bytes from the start of the range, in words. */
  placeOf(offset: number): string {
    return `${this.#file}, byte ${this.#range.offset + offset}`;
  }

  close(): void {
    this.memory.close();
  }

  get #file(): string {
    return this.#range.target.endpoint.file;
  }

  #at(at: number): { fd: number; place: number } {
    return { fd: this.#range.target.fd, place: this.#range.offset + at };
  }

  #short(what: "a read" | "a write", place: number, moved: number, length: number): P2pError {
    return shortTransfer(what, this.#file, place, moved, length);
  }
}

/** What blocks are held against. `start`: in the window; `at`: from the start of the range. */
interface BlockReference {
  read(at: number, length: number): Promise<void>;
  isRight(start: number, length: number, at: number): boolean;
  diagnose(start: number, length: number, at: number): Diagnosis;
}

class MarkedBlocks implements BlockReference {
  readonly #marks: Marks;
  readonly #window: FileWindow;

  constructor(marks: Marks, window: FileWindow) {
    this.#marks = marks;
    this.#window = window;
  }

  read(): Promise<void> {
    return Promise.resolve();
  }

  isRight(start: number, length: number, at: number): boolean {
    return this.#marks.isRight(this.#window, start, length, at);
  }

  diagnose(start: number, length: number, at: number): Diagnosis {
    const found = this.#window.bytes.subarray(start, start + length);
    return diagnose(found, this.#marks.make(length, at), {
      isMarked: true,
      identify: (sector) =>
        this.#marks.identify(this.#window, start + sector, at + sector, (offset) =>
          this.#window.placeOf(offset),
        ),
    });
  }
}

class Original implements BlockReference {
  readonly #source: FileWindow;
  readonly #window: FileWindow;
  readonly #blot: Marks;
  #at = 0;
  #length = 0;

  constructor(source: FileWindow, window: FileWindow, blot: Marks) {
    this.#blot = blot;
    this.#source = source;
    this.#window = window;
  }

  read(at: number, length: number): Promise<void> {
    this.#at = at;
    this.#length = length;
    return this.#source.read(at, length);
  }

  isRight(start: number, length: number): boolean {
    return addon().compare(this.#window.memory, start, this.#source.memory, start, length) < 0;
  }

  diagnose(start: number, length: number): Diagnosis {
    const part = ({ bytes }: FileWindow): Uint8Array => bytes.subarray(start, start + length);
    return diagnose(part(this.#window), part(this.#source), {
      isMarked: false,
      identify: (sector) => this.#identify(start + sector),
    });
  }

  /** Elsewhere among the source's data around, if it is there once; or left of before the run. */
  #identify(at: number): Belonging {
    const data = Buffer.from(this.#source.bytes.buffer, 0, this.#length);
    const found = this.#window.bytes.subarray(at, at + STAMP_BYTES);
    const place = data.indexOf(found);
    if (place >= 0 && place % STAMP_BYTES === 0 && data.lastIndexOf(found) === place)
      return { place: this.#window.placeOf(this.#at + place) };
    const isLeft = readStamp(this.#window.words, at / 4)?.seed === this.#blot.seed;
    return isLeft ? { earlier: "what was there before the run" } : null;
  }
}
