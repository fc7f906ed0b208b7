import { randomInt } from "node:crypto";
import { P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import type { Session } from "../session.js";
import type { Verification } from "../verify/inspect.js";
import type { VerifyMode } from "../verify/mode.js";
import { checkPlan } from "./check.js";
import type { CopyPlan } from "./plan.js";
import { prepareSource, verifyDestination } from "./verify.js";

/**
 * Prepares one copy for being verified, and gives what does that afterwards: of the parts that it is
 * told. Who copies wants the source's data: only the loopback machine's are given up for marks.
 * Errors: WRITE_NOT_ALLOWED; those of checkPlan(), before anything is written, and of prepareSource().
 */
export async function prepareToVerify(
  session: Session,
  plan: CopyPlan,
  mode: VerifyMode,
): Promise<(covered: readonly Range[]) => Promise<Verification>> {
  if (mode !== "memcmp" && session.platform.kind !== "loopback")
    throw new P2pError("WRITE_NOT_ALLOWED", `verifying by ${mode} would OVERWRITE the source`, {
      device: plan.source.device,
      hint: "compare with the source: --verify=memcmp (library: verify: true)",
    });
  await checkPlan(session, plan);
  // Another seed each time: what an earlier copy left must not pass.
  const seed = randomInt(2 ** 32);
  await prepareSource(session, plan, mode, seed);
  return (covered) => verifyDestination(session, plan, mode, seed, covered);
}
