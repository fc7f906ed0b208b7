import type { NativeDmaFault } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import { remember } from "../remember.js";
import type { Session } from "../session.js";
import type { CheckedRanges } from "./check.js";
import { formatEndpoint } from "./endpoint.js";
import type { CopyPlan } from "./plan.js";
import { isLossy, proveLegs } from "./prove.js";
import type { Leg, LegProof } from "./prove-legs.js";

/**
 * Bytes of a canary, at most: enough for a PRP list. The CPU reads a BAR at some 8 bytes a
 * microsecond, which makes this a matter of milliseconds.
 */
const CANARY_BYTES = 16 * 1024;

/** The legs that have been proved, by the provider that a session has opened. */
const proofs = new WeakMap<Provider, Map<string, Promise<void>>>();

/**
 * Proves, once in a session, what a copy needs of its path: that the peer memory gets what the
 * source sends, and that the destination gets what the peer memory holds. Nothing to prove on the
 * way through host memory alone.
 *
 * Errors: PATH_LOSES_DATA; PATH_UNPROVED, where a command failed; REVOKED; NO_ROOM, and others of proveLegs().
 */
export async function proveFirstUse(
  session: Session,
  plan: CopyPlan,
  ranges: CheckedRanges,
): Promise<void> {
  const { provider } = plan;
  if (provider === null || plan.path === "host") return;
  const proved = proofs.get(provider) ?? new Map<string, Promise<void>>();
  proofs.set(provider, proved);
  for (const leg of legsOf(plan, ranges)) {
    const key = `${leg.namespace.controller.address} ${leg.direction}`;
    await remember(proved, key, () => proveOne(session, plan, provider, leg));
  }
}

function legsOf(plan: CopyPlan, { source, destination, length }: CheckedRanges): Leg[] {
  const from: Leg = {
    ...{ client: "source", direction: "write", namespace: source },
    ...{ offset: plan.source.offset, length, scratch: null },
  };
  const range = { namespace: destination, offset: plan.destination.offset, length };
  // The copy may overwrite this range and is about to, so what is there need not come back.
  const to: Leg = {
    ...{ client: "destination", direction: "read", ...range },
    scratch: { ...range, restore: false },
  };
  return plan.path === "p2p" ? [from, to] : [to];
}

/**
 * Not to be interrupted by the copy's signal: others may wait for the same proof, and it is over in
 * no time.
 */
async function proveOne(
  session: Session,
  plan: CopyPlan,
  provider: Provider,
  leg: Leg,
): Promise<void> {
  const { signal } = new AbortController();
  const { legs, faults } = await proveLegs(session, provider, [leg], CANARY_BYTES, signal);
  provider.assertUsable();
  for (const proof of legs) {
    if (proof.outcome === "proved") continue;
    const source = formatEndpoint(plan.source);
    const destination = formatEndpoint(plan.destination);
    throw new P2pError(
      isLossy(proof) ? "PATH_LOSES_DATA" : "PATH_UNPROVED",
      `${describeLeg(proof, provider)}: ${proof.outcome}, ${proof.detail}${describeFaults(faults)}`,
      {
        device: proof.device,
        hint: `p2pmem probe ${source} ${provider.name} ${destination} looks closer; copy --via host and bench --path host do without this path`,
      },
    );
  }
}

function describeLeg({ direction, client, device }: LegProof, { name }: Provider): string {
  return direction === "write"
    ? `from the ${client} ${device} to ${name}`
    : `from ${name} to the ${client} ${device}`;
}

function describeFaults(faults: readonly NativeDmaFault[] | null): string {
  const [first] = faults ?? [];
  if (first === undefined) return "";
  const access = first.write ? "a write" : "a read";
  const address = `0x${first.iova.toString(16)}`;
  return `; the IOMMU refused ${access} of ${first.device} at ${address}: ${first.reason}`;
}
