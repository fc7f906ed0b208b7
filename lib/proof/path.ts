import type { NativeDmaFault } from "../addon.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { checkWritable, findNamespace } from "../io/namespaces.js";
import { formatEndpoint, type Endpoint } from "../io/endpoint.js";
import type { BlockRange, Leg, LegProof } from "./leg.js";
import { isLossy, proveLegs } from "./legs.js";

/** Bytes of a canary, at most. */
const CANARY_BYTES = 64 * 1024;

/** A path whose honesty is in question. */
export interface PathProofRequest {
  /** Where the source may be read; the first of it is. */
  source: Endpoint;
  destination: Endpoint;
  provider: Provider;
  /** What may be written, on a device whose Compare is missing or tells nothing. It is restored. */
  scratch?: Endpoint;
  /** Needed for a scratch range on a real device. */
  allowWrite: boolean;
  /** Ends the proof between two canaries. */
  signal?: AbortSignal;
}

/**
 * - `proved`: what a copy needs of the path works
 * - `loses data`: it does not, and the commands succeed all the same
 * - `refused`: it does not, and the device says so: no silent loss, but no data either
 * - `unproved`: none of these could be shown
 */
export type PathVerdict = "proved" | "loses data" | "refused" | "unproved";

export interface PathProof {
  /** A copy needs the first two: what the source writes, and what the destination reads. */
  legs: (LegProof & { required: boolean })[];
  /** What the IOMMU refused to the path's devices meanwhile; null where its log cannot be read. */
  faults: NativeDmaFault[] | null;
  verdict: PathVerdict;
}

/**
 * Sends canaries from the source's medium to the peer memory, from there to the destination, and
 * the other way round, and looks what arrives (design: "Silent loss"). Nothing but free peer memory,
 * and the scratch range if there must be one, is written; that range and a PMR are restored. A device
 * that fails is part of what is found.
 *
 * Errors: NO_ROOM in the provider; WRITE_NOT_ALLOWED, BAD_ARGUMENT for a scratch range; NO_NAMESPACE,
 * METADATA_FORMAT, UNALIGNED, BAD_RANGE; those of opening the devices, and of proveLegs().
 */
export function provePath(session: Session, request: PathProofRequest): Promise<PathProof> {
  return session.operation(request.signal, async (signal) => {
    const legs = await openLegs(session, request);
    const { provider } = request;
    const proof = await proveLegs(session, {
      ...{ provider, legs, held: null, most: CANARY_BYTES, signal },
    });
    const proofs = proof.legs.map((leg) => ({ ...leg, required: isRequired(leg) }));
    return { legs: proofs, faults: proof.faults, verdict: verdictOf(proofs) };
  });
}

/** What to do where the verdict is `unproved`. */
export function unprovedError(legs: PathProof["legs"]): P2pError {
  const { device, outcome, detail } = legs.find((leg) => leg.required && leg.outcome !== "proved")!;
  return new P2pError("PATH_UNPROVED", detail, {
    device,
    hint:
      outcome === "unproved"
        ? `name a part that may be written, and is restored: --scratch ${device}/NSID@OFFSET+LENGTH --allow-write`
        : "the device must work before its path can be judged",
  });
}

function isRequired({ client, direction }: LegProof): boolean {
  return direction === (client === "source" ? "write" : "read");
}

function verdictOf(legs: PathProof["legs"]): PathVerdict {
  const required = legs.filter((leg) => leg.required);
  if (required.some(isLossy)) return "loses data";
  if (required.some(({ outcome }) => outcome === "refused")) return "refused";
  return required.every(({ outcome }) => outcome === "proved") ? "proved" : "unproved";
}

async function openLegs(session: Session, request: PathProofRequest): Promise<Leg[]> {
  const source = await openRange(session, request.source);
  const destination = await openRange(session, request.destination);
  const scratch = await openScratch(session, request);
  const leg = (client: Leg["client"], direction: Leg["direction"], range: BlockRange): Leg => ({
    client,
    direction,
    ...range,
    scratch: scratch?.namespace.controller === range.namespace.controller ? scratch : null,
  });
  return [
    leg("source", "write", source),
    leg("destination", "read", destination),
    leg("source", "read", source),
    leg("destination", "write", destination),
  ];
}

async function openRange(session: Session, endpoint: Endpoint): Promise<BlockRange> {
  const namespace = await findNamespace(session, endpoint);
  namespace.assertPlainFormat();
  const { blockSize, size } = namespace;
  const { device, offset } = endpoint;
  const length = endpoint.length ?? size - offset;
  const name = formatEndpoint(endpoint);
  if (offset % blockSize !== 0)
    throw new P2pError("UNALIGNED", `${name} does not begin at a block of ${blockSize} bytes`, {
      device,
      hint: `use multiples of ${blockSize} bytes`,
    });
  if (length < blockSize || offset + length > size)
    throw new P2pError("BAD_RANGE", `${name} has no whole block, or is not in the namespace`, {
      device,
      hint: `it has ${size} bytes in blocks of ${blockSize}`,
    });
  return { namespace, offset, length };
}

async function openScratch(
  session: Session,
  request: PathProofRequest,
): Promise<BlockRange | null> {
  const { scratch, source, destination } = request;
  if (scratch === undefined) return null;
  if (scratch.device !== source.device && scratch.device !== destination.device)
    throw new P2pError(
      "BAD_ARGUMENT",
      `the scratch range ${formatEndpoint(scratch)} is on neither device of the path`,
      { device: scratch.device, hint: "name a part of the source or of the destination" },
    );
  if (scratch.length === undefined)
    throw new P2pError(
      "BAD_ARGUMENT",
      `the scratch range ${formatEndpoint(scratch)} has no length`,
      { device: scratch.device, hint: "say which bytes: BDF/NSID@OFFSET+LENGTH" },
    );
  checkWritable(session, request, scratch);
  return openRange(session, scratch);
}
