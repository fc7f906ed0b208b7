import { addon } from "../addon.js";
import type { Range } from "../extents/ranges.js";
import type { Session } from "../session.js";
import { checkWritable } from "../io/namespaces.js";
import { diagnose, type Belonging } from "../verify/diagnosis.js";
import {
  inspect,
  placeIn,
  type Inspected,
  type Reference,
  type Verification,
} from "../verify/inspect.js";
import { Marks } from "../verify/marks.js";
import type { VerifyMode } from "../verify/mode.js";
import { STAMP_BYTES, readStamp } from "../verify/stamp.js";
import { Window, windowBytesFor } from "../verify/window.js";
import { checkRanges, type CheckedRanges } from "./check.js";
import type { CopyPlan } from "./plan.js";

/**
 * Before a run that is to be verified: OVERWRITES the source's range with marked blocks, whose data are
 * gone afterwards. The mode `memcmp` needs none, and writes nothing. `seed`: 32 bits, another one for
 * each run, or what an earlier one left at the destination would pass.
 * Errors: WRITE_NOT_ALLOWED, as for a destination; those of checkRanges() and of writing.
 */
export async function prepareSource(
  session: Session,
  plan: CopyPlan,
  mode: VerifyMode,
  seed: number,
): Promise<void> {
  if (mode !== "memcmp") await overwrite(session, plan, "source", new Marks(mode, seed));
}

/**
 * Before a run that will be compared with its source: OVERWRITES all of the destination's range, since
 * an earlier run of the same copy may have left there what the source has, and a write that is lost would
 * pass. `seed`: see prepareSource(). Errors: the same.
 */
export function blotDestination(session: Session, plan: CopyPlan, seed: number): Promise<void> {
  return overwrite(session, plan, "destination", new Marks(BLOT, seed));
}

/** The marks of what a comparison must not find. */
const BLOT = "pattern";

function overwrite(
  session: Session,
  plan: CopyPlan,
  side: "source" | "destination",
  marks: Marks,
): Promise<void> {
  return session.operation(plan.signal, async (signal) => {
    const { bs, [side]: endpoint } = plan;
    checkWritable(session, plan, endpoint);
    const { length, [side]: namespace } = await checkRanges(session, plan);
    namespace.permitWrites();
    const windowBytes = windowBytesFor(bs);
    const window = new Window(session, namespace, endpoint.offset, windowBytes);
    try {
      for (let at = 0; at < length; at += windowBytes) {
        signal.throwIfAborted();
        const size = Math.min(windowBytes, length - at);
        for (let start = 0; start < size; start += bs)
          marks.fill(window, start, Math.min(bs, size - start), at + start);
        await window.write(at, size);
      }
      await namespace.flush();
    } finally {
      window.close();
    }
  });
}

/**
 * After the run: reads the destination back, by way of host memory, and looks whether each block is
 * the one that belongs there: by the marks that {@link prepareSource} gave the source with the same
 * mode and seed, or (`memcmp`) by comparing it with the source, which is read again; what is left of
 * {@link blotDestination} with the same seed is then known. Writes nothing.
 * `covered` (bytes from the start of the range, between borders of blocks) says which parts, by default
 * all. Errors: those of checkRanges() and of reading; INTERRUPTED.
 */
export function verifyDestination(
  session: Session,
  plan: CopyPlan,
  mode: VerifyMode,
  seed: number,
  covered?: readonly Range[],
): Promise<Verification> {
  return session.operation(plan.signal, async (signal) => {
    const ranges = await checkRanges(session, plan);
    const { destination: namespace, length } = ranges;
    const { offset } = plan.destination;
    const inspected: Inspected = { namespace, offset, length, bs: plan.bs, covered };
    return inspect(session, signal, inspected, (windowBytes) =>
      mode === "memcmp"
        ? comparison(session, plan, ranges, windowBytes, inspected, new Marks(BLOT, seed))
        : marked(new Marks(mode, seed), inspected),
    );
  });
}

function marked(marks: Marks, inspected: Inspected): Reference {
  return {
    isRight: (window, start, length, at) => marks.isRight(window, start, length, at),
    diagnose: (window, start, length, at) =>
      diagnose(window.bytes.subarray(start, start + length), marks.make(length, at), {
        isMarked: true,
        identify: (sector) =>
          marks.identify(window, start + sector, at + sector, (offset) =>
            placeIn(inspected, offset),
          ),
      }),
  };
}

function comparison(
  session: Session,
  plan: CopyPlan,
  { source }: CheckedRanges,
  windowBytes: number,
  inspected: Inspected,
  blot: Marks,
): Reference {
  const original = new Window(session, source, plan.source.offset, windowBytes);
  let windowAt = 0;
  let windowSize = 0;
  /** Elsewhere among the source's data around, if it is there once; or left of before the run. */
  const identify = (window: Window, at: number): Belonging => {
    const { buffer } = original.bytes;
    const data = Buffer.from(buffer, 0, windowSize);
    const found = window.bytes.subarray(at, at + STAMP_BYTES);
    const place = data.indexOf(found);
    if (place >= 0 && place % STAMP_BYTES === 0 && data.lastIndexOf(found) === place)
      return { place: placeIn(inspected, windowAt + place) };
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
      addon().compare(window.buffer.memory, start, original.buffer.memory, start, length) < 0,
    diagnose: (window, start, length) =>
      diagnose(
        window.bytes.subarray(start, start + length),
        original.bytes.subarray(start, start + length),
        { isMarked: false, identify: (sector) => identify(window, start + sector) },
      ),
    close: () => {
      original.close();
    },
  };
}
