import type { NativeDmaFault } from "../addon.js";
import { P2pError } from "../errors.js";
import { contains, merge, type Range } from "../extents/ranges.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import type { Leg, LegProof } from "./leg.js";
import { isLossy, proveLegs, type LegsRequest } from "./legs.js";

/**
 * Bytes of a canary, at most: enough for a PRP list. The CPU reads a BAR at some 8 bytes a
 * microsecond, which makes this a matter of milliseconds.
 */
const CANARY_BYTES = 16 * 1024;

/** What has been proved of an open provider, by device and direction: bytes from its start. */
const proved = new WeakMap<Provider, Map<string, readonly Range[]>>();

/** What somebody is about to use of a provider, and by whom. */
export interface FirstUse {
  provider: Provider;
  /** The run's part of the provider, bytes. */
  held: Range;
  legs: readonly Leg[];
  /** What to do where it does not work. */
  hint: string;
}

/**
 * Proves what a run needs of its path, through the memory that it is about to use: that the peer
 * memory gets what a device sends, and that a device gets what the peer memory holds. What has been
 * proved in this session is not proved again; memory beyond it is, by its first, middle and last
 * pages.
 *
 * Errors: PATH_LOSES_DATA; PATH_REFUSED, where the device says that it does not reach the memory;
 * PATH_UNPROVED, where a command failed; REVOKED; and others of proveLegs().
 */
export async function proveUse(
  session: Session,
  { provider, held, legs, hint }: FirstUse,
  signal: AbortSignal,
): Promise<void> {
  const known = proved.get(provider) ?? new Map<string, readonly Range[]>();
  proved.set(provider, known);
  for (const leg of legs) {
    const key = `${leg.namespace.controller.address} ${leg.direction}`;
    if (contains(known.get(key) ?? [], held.start, held.end)) continue;
    await proveOne(session, { provider, legs: [leg], held, most: CANARY_BYTES, signal }, hint);
    known.set(key, merge([...(known.get(key) ?? []), held]));
  }
}

async function proveOne(session: Session, request: LegsRequest, hint: string): Promise<void> {
  const { provider } = request;
  const { legs, faults } = await proveLegs(session, request);
  provider.assertUsable();
  for (const proof of legs) {
    if (proof.outcome === "proved") continue;
    throw new P2pError(
      codeOf(proof),
      `${describeLeg(proof, provider)}: ${proof.outcome}, ${proof.detail}${describeFaults(faults)}`,
      { device: proof.device, hint },
    );
  }
}

function codeOf(proof: LegProof): string {
  if (isLossy(proof)) return "PATH_LOSES_DATA";
  return proof.outcome === "refused" ? "PATH_REFUSED" : "PATH_UNPROVED";
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
