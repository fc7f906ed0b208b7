import { P2pError } from "../errors.js";
import { formatEndpoint } from "../io/endpoint.js";
import { MOST_SLOTS } from "../verify/writers.js";
import type { CheckedTarget } from "./check.js";
import { isRandom, type PerfPlan } from "./plan.js";

/** I/Os of which a run keeps a record, 2 bytes each. */
const MOST_IOS = 2 ** 28;

/** What can be wrong with a run whose writes are to be verified. Errors: BAD_ARGUMENT, BAD_RANGE. */
export function checkMarked(plan: PerfPlan, targets: readonly CheckedTarget[], jobs: number): void {
  const slots = plan.depth * jobs * targets.length;
  if (slots > MOST_SLOTS)
    throw new P2pError(
      "BAD_ARGUMENT",
      `the writes of ${slots} I/Os in flight cannot be told apart, to be verified`,
      { hint: `use no more than ${MOST_SLOTS} in flight, or leave out verify` },
    );
  const ios = targets.reduce((sum, target) => sum + target.ios, 0);
  const records = ios * (isRandom(plan.pattern) ? jobs : 1);
  if (records > MOST_IOS)
    throw new P2pError(
      "BAD_RANGE",
      `verifying writes keeps a record of each I/O of the range, of ${MOST_IOS} at most, not ${records}`,
      { hint: "give a smaller size, or leave out verify" },
    );
  assertApart(plan, targets);
}

/** What one target has written another would overwrite. */
function assertApart({ ioSize }: PerfPlan, targets: readonly CheckedTarget[]): void {
  for (const [index, a] of targets.entries())
    for (const b of targets.slice(index + 1)) {
      if (a.namespace !== b.namespace) continue;
      const [low, high] = a.endpoint.offset <= b.endpoint.offset ? [a, b] : [b, a];
      if (low.endpoint.offset + low.ios * ioSize <= high.endpoint.offset) continue;
      throw new P2pError(
        "BAD_RANGE",
        `${formatEndpoint(a.endpoint)} and ${formatEndpoint(b.endpoint)} overlap: what is written to both cannot be verified`,
        { device: a.endpoint.device, hint: "name ranges that lie apart, or leave out verify" },
      );
    }
}
