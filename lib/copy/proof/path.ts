import { setTimeout as delay } from "node:timers/promises";
import type { NativeDmaFault } from "../addon.js";
import type { AddressSpace } from "../dma/address-space.js";
import { P2pError } from "../errors.js";
import type { NvmeNamespace } from "../nvme/namespace.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Session } from "../session.js";
import { checkWritable, findNamespace } from "./check.js";
import { formatEndpoint, type Endpoint } from "./endpoint.js";
import { proveLeg, type Leg, type LegProof, type Scratch } from "./prove-legs.js";
import { ProofMemory } from "./prove-memory.js";

/** Bytes of a canary, at most. */
const CANARY_BYTES = 64 * 1024;
/** How long the kernel's log is given to tell of a fault that must have been, milliseconds. */
const LOG_LAG_MS = 100;

/** A path whose honesty is in question. */
export interface PathProofRequest {
  /** Where the source may be read; the first of it is. */
  source: Endpoint;
  destination: Endpoint;
  provider: Provider;
  /** What may be written, on a device without a Compare command. It is restored. */
  scratch?: Endpoint;
  /** Needed for a scratch range on a real device. */
  allowWrite: boolean;
  /** Ends the proof between two canaries. */
  signal?: AbortSignal;
}

/**
 * - `proved`: what a copy needs of the path works
 * - `loses data`: it does not, and the commands succeed all the same
 * - `unproved`: neither could be shown
 */
export type PathVerdict = "proved" | "loses data" | "unproved";

export interface PathProof {
  /** A copy needs the first two: what the source writes, and what the destination reads. */
  legs: (LegProof & { required: boolean })[];
  /** What the IOMMU refused to the path's devices meanwhile; null where its log cannot be read. */
  faults: NativeDmaFault[] | null;
  verdict: PathVerdict;
}

/**
 * Sends canaries from the source's medium to the peer memory, from there to the destination, and
 * the other way round, and looks what arrives (design: "Silent loss"). Nothing but the peer memory,
 * and the scratch range if there must be one, is written.
 *
 * Errors: NO_ROOM in the provider; WRITE_NOT_ALLOWED, BAD_ARGUMENT for a scratch range; NO_NAMESPACE,
 * METADATA_FORMAT, UNALIGNED, BAD_RANGE; those of opening the devices, and of proveLeg().
 */
export function provePath(session: Session, request: PathProofRequest): Promise<PathProof> {
  return session.operation(request.signal, async (signal) => {
    const legs = await openLegs(session, request);
    const proof = await proveLegs(session, request.provider, legs, CANARY_BYTES, signal);
    const proofs = proof.legs.map((leg) => ({ ...leg, required: isRequired(leg) }));
    return { legs: proofs, faults: proof.faults, verdict: verdictOf(proofs) };
  });
}

/** `most`: bytes of a canary. Errors: NO_ROOM, and those of proveLeg(). */
export async function proveLegs(
  session: Session,
  provider: Provider,
  legs: readonly Leg[],
  most: number,
  signal: AbortSignal,
): Promise<{ legs: LegProof[]; faults: NativeDmaFault[] | null }> {
  const namespaces = legs.flatMap(({ namespace, scratch }) =>
    scratch === null ? [namespace] : [namespace, scratch.namespace],
  );
  const { addressSpace, platform } = session;
  const memory = new ProofMemory(addressSpace, provider, namespaces, most);
  try {
    addressSpace.takeFaults(); // what was before is not this path's
    const proofs: LegProof[] = [];
    for (const leg of legs) proofs.push(await proveLeg(leg, memory, signal));
    const devices = [provider.fn.address, ...proofs.map(({ device }) => device)];
    const lag = platform.kind === "vfio" && proofs.some(isLossy) ? LOG_LAG_MS : 0;
    return { legs: proofs, faults: await takeFaults(addressSpace, devices, lag) };
  } finally {
    memory.close();
  }
}

export function isLossy({ outcome }: LegProof): boolean {
  return outcome === "lost" || outcome === "corrupted";
}

/** What to do where the verdict is `unproved`. */
export function unprovedError(legs: PathProof["legs"]): P2pError {
  const { device, outcome, detail } = legs.find((leg) => leg.required && leg.outcome !== "proved")!;
  return new P2pError("PATH_UNPROVED", detail, {
    device,
    hint:
      outcome === "unproved"
        ? `name a part that may be written, and is restored: --scratch ${device}/NSID@OFFSET+LENGTH --allow-write`
        : "the command must work before its path can be judged",
  });
}

function isRequired({ client, direction }: LegProof): boolean {
  return direction === (client === "source" ? "write" : "read");
}

function verdictOf(legs: PathProof["legs"]): PathVerdict {
  const required = legs.filter((leg) => leg.required);
  if (required.some(isLossy)) return "loses data";
  return required.every(({ outcome }) => outcome === "proved") ? "proved" : "unproved";
}

/** Those of these devices. Where there should be some, the kernel's log is given `lag` milliseconds. */
async function takeFaults(
  addressSpace: AddressSpace,
  devices: readonly string[],
  lag: number,
): Promise<NativeDmaFault[] | null> {
  const take = (): NativeDmaFault[] | null =>
    addressSpace.takeFaults()?.filter(({ device }) => devices.includes(device)) ?? null;
  const faults = take();
  if (faults?.length !== 0 || lag === 0) return faults;
  await delay(lag);
  return take();
}

async function openLegs(session: Session, request: PathProofRequest): Promise<Leg[]> {
  const source = await openRange(session, request.source);
  const destination = await openRange(session, request.destination);
  const scratch = await openScratch(session, request);
  const leg = (client: Leg["client"], direction: Leg["direction"], range: Range): Leg => ({
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

/** Part of a namespace, bytes. */
interface Range {
  namespace: NvmeNamespace;
  offset: number;
  length: number;
}

async function openRange(session: Session, endpoint: Endpoint): Promise<Range> {
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

async function openScratch(session: Session, request: PathProofRequest): Promise<Scratch | null> {
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
  return { ...(await openRange(session, scratch)), restore: true };
}
