import { checkPlan } from "../copy/check.js";
import { runCopy } from "../copy/copy.js";
import type { CopyPlan } from "../copy/plan.js";
import type { CopyMeasurement, CopyResult } from "../copy/result.js";
import type { Session } from "../session.js";
import { CopyLimit } from "./limit.js";

export interface LimitedCopyResult extends CopyResult {
  /** Two memcpys a block by one thread, bytes a second; on the loopback machine only. */
  limit_bw_bytes?: number;
}

/** One copy, with the limit beside it on the loopback machine. Errors: those of runCopy(). */
export async function runCopyWithLimit(
  session: Session,
  plan: CopyPlan,
): Promise<{ measured: CopyMeasurement; limit: { limit_bw_bytes?: number } }> {
  if (session.platform.kind !== "loopback")
    return { measured: await runCopy(session, plan), limit: {} };
  const { length, slots } = await checkPlan(session, plan);
  const inFlight = slots.jobs * slots.count;
  const limit = new CopyLimit(length, plan.bs * inFlight);
  try {
    const [measured, bandwidth] = await limit.around(length, plan.bs, inFlight, () =>
      runCopy(session, plan),
    );
    return { measured, limit: { limit_bw_bytes: bandwidth } };
  } finally {
    limit.close();
  }
}
