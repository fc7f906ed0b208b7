import type { Range } from "../extents/ranges.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Provider } from "../p2pmem/provider.js";
import { proveUse } from "../proof/first-use.js";
import type { Session } from "../session.js";
import type { StreamEndPlan } from "./plan.js";

/**
 * Proves one end's way between its NVMe device and the peer memory that it stages in, before the first
 * use. What the proof writes to a destination it restores; blocks before `first` are written already,
 * and confirmed perhaps: it does not touch them. Nothing to prove where none is left to stream. `held`:
 * the end's part of the provider, bytes. Errors: those of proveUse().
 */
export async function proveStaging(
  session: Session,
  plan: Pick<StreamEndPlan, "role" | "endpoint" | "bs" | "size" | "first">,
  namespace: NvmeNamespace,
  { provider, held }: { provider: Provider; held: Range },
  signal: AbortSignal,
): Promise<void> {
  const { role, endpoint, bs, size, first = 0 } = plan;
  const written = first * bs;
  if (written >= size) return;
  const range = { namespace, offset: endpoint.offset + written, length: size - written };
  const isSource = role === "source";
  const leg = {
    ...range,
    client: role,
    direction: isSource ? ("write" as const) : ("read" as const),
    scratch: isSource ? null : range,
  };
  const hint = "--staging host does without this path";
  await proveUse(session, { provider, held, legs: [leg], hint }, signal);
}
