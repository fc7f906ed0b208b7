import type { Range } from "../extents/ranges.js";
import type { Endpoint } from "../io/endpoint.js";
import { checkWritable } from "../io/namespaces.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Session } from "../session.js";
import { inspect, placesIn, type Inspected, type Verification } from "../verify/inspect.js";
import { Marks } from "../verify/marks.js";
import type { VerifyMode } from "../verify/mode.js";
import { BLOT, overwrite } from "../verify/overwrite.js";
import { markedReference, sourceReference } from "../verify/references.js";
import { Window, windowBytesFor } from "../verify/window.js";
import { checkRanges } from "./check.js";
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
  if (mode !== "memcmp") await mark(session, plan, "source", new Marks(mode, seed));
}

/**
 * Before a run that will be compared with its source: OVERWRITES all of the destination's range, since
 * an earlier run of the same copy may have left there what the source has, and a write that is lost would
 * pass. `seed`: see prepareSource(). Errors: the same.
 */
export function blotDestination(session: Session, plan: CopyPlan, seed: number): Promise<void> {
  return mark(session, plan, "destination", new Marks(BLOT, seed));
}

function mark(
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
    using window = new Window(session, namespace, endpoint.offset, windowBytesFor(bs));
    await overwrite(
      {
        bs,
        assertGoesOn: () => {
          signal.throwIfAborted();
        },
      },
      window,
      length,
      marks,
    );
    await namespace.flush();
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
    const { source, destination, length } = await checkRanges(session, plan);
    const { bs } = plan;
    const windowAt = (namespace: NvmeNamespace, { offset }: Endpoint): Window =>
      new Window(session, namespace, offset, windowBytesFor(bs));
    const inspected: Inspected = {
      ...placesIn(destination, plan.destination.offset),
      ...{ bs, covered: covered ?? [{ start: 0, end: length }] },
      assertGoesOn: () => {
        signal.throwIfAborted();
      },
    };
    using window = windowAt(destination, plan.destination);
    if (mode !== "memcmp")
      return await inspect(inspected, window, markedReference(new Marks(mode, seed), inspected));
    using original = windowAt(source, plan.source);
    return await inspect(
      inspected,
      window,
      sourceReference(original, new Marks(BLOT, seed), inspected),
    );
  });
}
