import { fsync, read, write } from "node:fs";
import { promisify } from "node:util";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import { Host } from "../host/host.js";
import { tryAll } from "../try-all.js";
import { inspect, type BlockRange, type Inspected, type Verification } from "../verify/inspect.js";
import { Marks } from "../verify/marks.js";
import type { VerifyMode } from "../verify/mode.js";
import { BLOT, overwrite } from "../verify/overwrite.js";
import { markedReference, sourceReference } from "../verify/references.js";
import { windowBytesFor, type BlockWindow } from "../verify/window.js";
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

/** `end`: 0, the source; 1, the destination. */
async function mark(plan: KernelPlan, end: 0 | 1, marks: Marks, host: Host): Promise<void> {
  await withEnds(plan, host, end, async (ranges, open) => {
    const range = ranges[end];
    await overwrite(blocksOf(plan), open(range), range.length, marks);
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
  return withEnds(plan, host, null, ([source, destination], open) => {
    const inspected: Inspected = {
      ...blocksOf(plan),
      name: destination.target.endpoint.file,
      placeOf: (at) => `byte ${destination.offset + at}`,
      covered,
    };
    const window = open(destination);
    const reference =
      mode === "memcmp"
        ? sourceReference(open(source), new Marks(BLOT, seed), inspected)
        : markedReference(new Marks(mode, seed), inspected);
    return inspect(inspected, window, reference);
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

function blocksOf({ bs, signal }: KernelPlan): BlockRange {
  return {
    bs,
    assertGoesOn: () => {
      if (signal?.aborted === true)
        throw new P2pError("INTERRUPTED", "interrupted while verifying");
    },
  };
}

const readInto = promisify(read);
const writeFrom = promisify(write);
const flush = promisify(fsync);

/** A piece of a target's range in ordinary memory, at one place after another. */
class FileWindow implements BlockWindow {
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
