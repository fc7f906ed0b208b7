import { read } from "node:fs";
import { promisify } from "node:util";
import { addon, type NativeMemory } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import { Host } from "../host/host.js";
import { allSettled, tryAll } from "../try-all.js";
import { checkKernelPlan, checkRanges, type CheckedRange } from "./check.js";
import type { KernelPlan } from "./plan.js";
import { openTarget } from "./target.js";

/** Bytes that are read at once, but for larger blocks. */
const WINDOW_BYTES = 4 * 2 ** 20;

export interface KernelVerification {
  /** Copy blocks that were looked at, and those of them that are wrong. */
  blocks: number;
  mismatches: number;
  /** The first wrong byte, counted from the start of the range. */
  firstOffset: number | null;
}

/**
 * Reads source and destination of a copy back, with O_DIRECT into ordinary memory, and compares them.
 * `covered`: as the measurement has it. Writes nothing.
 * Errors: those of runKernel() for a plan, and of reading; INTERRUPTED.
 */
export async function verifyKernelCopy(
  plan: KernelPlan,
  covered: readonly Range[],
  host = new Host(),
): Promise<KernelVerification> {
  checkKernelPlan(plan);
  const tree = host.pci();
  const closers: (() => void)[] = [];
  try {
    const targets = [];
    for (const endpoint of [...plan.sources, plan.destination!]) {
      const target = await openTarget(host, tree, endpoint, false, new Set());
      closers.push(() => {
        target.close();
      });
      targets.push(target);
    }
    const [source, destination] = checkRanges(plan, targets) as [CheckedRange, CheckedRange];
    const size = Math.max(1, Math.floor(WINDOW_BYTES / plan.bs)) * plan.bs;
    const [a, b] = [0, 1].map(() => {
      const memory = addon().allocatePinned(size, true);
      closers.push(() => {
        memory.close();
      });
      return memory;
    }) as [NativeMemory, NativeMemory];
    const result: KernelVerification = { blocks: 0, mismatches: 0, firstOffset: null };
    for (const { start, end } of covered)
      for (let at = start; at < end; at += size) {
        if (plan.signal?.aborted === true)
          throw new P2pError("INTERRUPTED", "interrupted while verifying");
        const length = Math.min(size, end - at);
        // Neither buffer may go while the other's read runs.
        await allSettled([fill(a, source, at, length), fill(b, destination, at, length)]);
        count(result, plan.bs, at, length, a, b);
      }
    return result;
  } finally {
    tryAll(closers.reverse());
  }
}

const readInto = promisify(read);

async function fill(
  memory: NativeMemory,
  { target, offset }: CheckedRange,
  at: number,
  length: number,
): Promise<void> {
  const view = new Uint8Array(memory.buffer);
  const { bytesRead } = await readInto(target.fd, view, 0, length, offset + at);
  if (bytesRead === length) return;
  const { file } = target.endpoint;
  throw new P2pError("IO", `${file} ends ${length - bytesRead} bytes early at ${offset + at}`);
}

function count(
  result: KernelVerification,
  bs: number,
  at: number,
  length: number,
  a: NativeMemory,
  b: NativeMemory,
): void {
  const isSame = addon().compare(a, 0, b, 0, length) < 0;
  for (let offset = 0; offset < length; offset += bs) {
    result.blocks++;
    if (isSame) continue;
    const differs = addon().compare(a, offset, b, offset, Math.min(bs, length - offset));
    if (differs < 0) continue;
    result.mismatches++;
    result.firstOffset ??= at + offset + differs;
  }
}
