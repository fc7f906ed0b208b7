import { setTimeout as delay } from "node:timers/promises";
import type { NativeDmaFault } from "../addon.js";
import { NvmeError, P2pError } from "../errors.js";
import type { Range } from "../extents/ranges.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import { sendByCompare, sendByRead, sendByWrite, type Finding } from "./canaries.js";
import { TrialEnd, type Leg, type LegOutcome, type LegProof, type Trial } from "./leg.js";
import { ProofMemory } from "./memory.js";

/** How long the kernel's log is given to tell of a fault that must have been, milliseconds. */
const LOG_LAG_MS = 100;

/** After these a controller completes nothing more, or has to be looked at first. */
const LOSS_CODES = new Set([
  "ABORTED",
  "BAD_COMPLETION",
  "CONTROLLER_FATAL",
  "CONTROLLER_RESET",
  "DEVICE_CHANGED",
  "DEVICE_ERROR",
  "DEVICE_GONE",
  "DEVICE_REQUESTED",
  "TIMEOUT",
]);

export interface LegsRequest {
  provider: Provider;
  legs: readonly Leg[];
  /** The caller's part of the provider, in bytes, to look at; null: all of it that is free. */
  held: Range | null;
  /** Bytes of a canary. */
  most: number;
  /** Ends the proof between two canaries. */
  signal: AbortSignal;
}

export interface LegsProof {
  legs: LegProof[];
  /** What the IOMMU refused to the path's devices meanwhile; null where its log cannot be read. */
  faults: NativeDmaFault[] | null;
}

/**
 * Sends canaries over each leg. What they overwrite of a PMR and of a scratch range is restored
 * whatever happens. A device that fails is a finding; its other legs are `unproved` then.
 * Errors: NO_ROOM; BAD_PEER_MEMORY; NOT_SAVED, NOT_RESTORED; REVOKED; INTERRUPTED.
 */
export async function proveLegs(session: Session, request: LegsRequest): Promise<LegsProof> {
  const { provider, legs, held, most, signal } = request;
  const { addressSpace, platform } = session;
  const namespaces = legs.flatMap(({ namespace, scratch }) =>
    scratch === null ? [namespace] : [namespace, scratch.namespace],
  );
  const memory = new ProofMemory(addressSpace, provider, namespaces, held, most);
  const devices = [provider.fn.address, ...namespaces.map(({ controller }) => controller.address)];
  const take = (): NativeDmaFault[] | null =>
    addressSpace.takeFaults()?.filter(({ device }) => devices.includes(device as Bdf)) ?? null;
  /** Those of one leg; where there should be some, the kernel's log is given time. */
  const takeLate = async ({ outcome }: LegProof): Promise<NativeDmaFault[] | null> => {
    const faults = take();
    const isClean = outcome === "proved" || outcome === "unproved";
    if (faults?.length !== 0 || isClean || platform.kind !== "vfio") return faults;
    await delay(LOG_LAG_MS);
    return take();
  };
  try {
    take(); // what was before is not this path's
    const proofs: LegProof[] = [];
    let all: NativeDmaFault[] | null = [];
    const lost = new Map<Bdf, string>();
    for (const leg of legs) {
      const proof = await proveLeg({ leg, memory, signal }, lost);
      const faults = await takeLate(proof);
      all = all && faults && [...all, ...faults];
      proofs.push(faults?.some(isAt(provider, proof.device)) === true ? refuse(proof) : proof);
    }
    return { legs: proofs, faults: all };
  } finally {
    memory.close();
  }
}

export function isLossy({ outcome }: LegProof): boolean {
  return outcome === "lost" || outcome === "corrupted";
}

/** `lost`: the devices that complete nothing any more, and why; it is added to. */
async function proveLeg(trial: Trial, lost: Map<Bdf, string>): Promise<LegProof> {
  const { leg, memory } = trial;
  const device = leg.namespace.controller.address;
  const shared = { client: leg.client, device, direction: leg.direction };
  const end = (outcome: LegOutcome, detail: string): LegProof => ({
    ...{ ...shared, outcome, detail, bytes: 0 },
  });
  const gone = lost.get(device) ?? lost.get(memory.provider.fn.address);
  if (gone !== undefined) return end("unproved", `not tried after: ${gone}`);
  try {
    return { ...shared, ...summarize(leg, await send(trial)) };
  } catch (error) {
    if (error instanceof TrialEnd) return end(error.outcome, error.message);
    if (!(error instanceof P2pError)) throw error;
    if (LOSS_CODES.has(error.code)) lost.set(device, error.message);
    else if (!(error instanceof NvmeError)) throw error;
    return end("failed", error.message);
  }
}

/** By a way that writes nothing, where there is one and it tells something. */
async function send(trial: Trial): Promise<Finding[]> {
  const { direction, namespace, scratch } = trial.leg;
  const { controller } = namespace;
  if (direction === "write") return sendByRead(trial);
  if (!controller.identity.hasCompare) {
    if (scratch !== null) return sendByWrite(trial, scratch);
    throw new TrialEnd(
      "unproved",
      `${controller.address} has no Compare command, and no part of it may be written`,
    );
  }
  try {
    return await sendByCompare(trial);
  } catch (error) {
    const isOpen = error instanceof TrialEnd && error.outcome === "unproved";
    if (!isOpen || scratch === null) throw error;
    return sendByWrite(trial, scratch);
  }
}

function summarize(
  { direction }: Leg,
  findings: readonly Finding[],
): Pick<LegProof, "outcome" | "detail" | "bytes"> {
  const bytes = findings.reduce((sum, { length }) => sum + length, 0);
  const wrong = findings.filter(({ wrongAt }) => wrongAt !== null);
  const [first] = wrong;
  if (first === undefined)
    return { outcome: "proved", detail: `${formatSize(bytes)} in ${findings.length} parts`, bytes };
  if (findings.every(({ isLost }) => isLost)) {
    const detail =
      direction === "write"
        ? "the commands succeed, and nothing arrives in the peer memory"
        : "the device gets something else than the peer memory holds";
    return { outcome: "lost", detail, bytes };
  }
  const at = `0x${(first.place + first.wrongAt!).toString(16)}`;
  const detail = `wrong in ${wrong.length} of ${findings.length} parts, first at ${at} of the peer memory`;
  return { outcome: "corrupted", detail, bytes };
}

function isAt(provider: Provider, client: Bdf): (fault: NativeDmaFault) => boolean {
  return ({ device, iova }) =>
    device === client &&
    iova >= BigInt(provider.iova) &&
    iova < BigInt(provider.iova) + BigInt(provider.size);
}

/** What failed where the IOMMU refused an access to the peer memory has failed for that. */
function refuse(proof: LegProof): LegProof {
  if (proof.outcome !== "failed") return proof;
  const detail = `the IOMMU refused its access to the peer memory: ${proof.detail}`;
  return { ...proof, outcome: "refused", detail };
}
