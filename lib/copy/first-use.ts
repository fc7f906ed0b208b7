import type { Range } from "../extents/ranges.js";
import { formatEndpoint } from "../io/endpoint.js";
import { proveUse } from "../proof/first-use.js";
import type { Leg } from "../proof/leg.js";
import type { Session } from "../session.js";
import type { CheckedRanges } from "./check.js";
import type { CopyPlan } from "./plan.js";

/**
 * Proves what a copy needs of its path, before its first use: see proveUse(). Nothing to prove on the
 * way through host memory alone. `held`: the run's part of the provider, bytes. Errors: those of
 * proveUse().
 */
export async function proveFirstUse(
  session: Session,
  plan: CopyPlan,
  { source, destination, length }: CheckedRanges,
  held: Range | null,
  signal: AbortSignal,
): Promise<void> {
  const { provider, path } = plan;
  if (provider === null || held === null || path === "host") return;
  const from: Leg = {
    ...{ client: "source", direction: "write", namespace: source },
    ...{ offset: plan.source.offset, length, scratch: null },
  };
  const range = { namespace: destination, offset: plan.destination.offset, length };
  // The copy may overwrite this range; where the proof fails there will be no copy, so it is restored.
  const to: Leg = { ...{ client: "destination", direction: "read" }, ...range, scratch: range };
  const legs = path === "p2p" ? [from, to] : [to];
  const way = `${formatEndpoint(plan.source)} ${provider.name} ${formatEndpoint(plan.destination)}`;
  const hint = `p2pmem probe ${way} looks closer; copy --via host and bench --path host do without this path`;
  await proveUse(session, { provider, held, legs, hint }, signal);
}
