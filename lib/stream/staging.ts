import { P2pError } from "../errors.js";
import { byDistance, reach } from "../p2pmem/find.js";
import { isMemoryCard } from "../p2pmem/memory-card.js";
import type { Provider } from "../p2pmem/provider.js";
import { peerPath } from "../pci/peer-path.js";
import type { ProtectionDomain } from "../rdma/protection-domain.js";
import type { Session } from "../session.js";
import type { CheckedEnd } from "./check.js";
import { proveStaging } from "./first-use.js";
import type { StreamEndPlan } from "./plan.js";
import { openHostSlots, openPeerSlots, type SlotMemory } from "./slot-memory.js";

/** No other memory makes up for these: a proof left something behind, or nothing is to be opened at all. */
const FINAL = new Set(["NOT_RESTORED", "INTERRUPTED"]);

/** What the blocks rest in, and why: one line. */
export interface OpenStaging {
  slots: SlotMemory;
  reason: string;
}

/** What staging is chosen for. */
export interface StagingRequest {
  session: Session;
  plan: StreamEndPlan;
  end: CheckedEnd;
  domain: ProtectionDomain;
  signal: AbortSignal;
}

/**
 * Opens the memory that the plan says. `auto` takes peer memory where the NVMe device reaches it, where
 * the kernel lets the NIC reach it, and the NIC registers it in fact; where none is, host memory.
 *
 * On real devices the path between NVMe device and peer memory is proved, the first time that the
 * session uses it: see proveStaging(). Errors: NO_PROVIDER, NO_ROOM, NOT_SUPPORTED, NO_DMABUF, MEMLOCK,
 * NO_MEMORY and others of mapping and registering memory; those of proveStaging().
 */
export async function openStaging(request: StagingRequest): Promise<OpenStaging> {
  const { plan } = request;
  if (plan.staging === "host")
    return { slots: openHostSlots(request), reason: "host memory, as asked for" };
  // Nothing need be opened to know that.
  if (plan.staging === "auto" && plan.rdma.fn === null) {
    const reason = `host memory: there is no PCI function behind ${plan.rdma.name}`;
    return { slots: openHostSlots(request), reason };
  }
  const refusals: string[] = [];
  for (const open of candidates(request)) {
    let provider: Provider | null = null;
    try {
      provider = await open();
      const slots = openPeerSlots(request, provider);
      try {
        await prove(request, provider, slots);
      } catch (error) {
        slots.close();
        throw error;
      }
      const { address } = request.end.namespace.controller;
      const reason = `${provider.name}: ${address} and ${plan.rdma.name} reach it`;
      return { slots, reason };
    } catch (error) {
      // What was named, or is the only one, must be; of others the next one is tried.
      const isLast = plan.staging === "cmb" || plan.provider !== undefined;
      if (!(error instanceof P2pError) || FINAL.has(error.code)) throw error;
      if (plan.staging !== "auto" && isLast) throw error;
      const isNamed = provider === null || error.message.includes(provider.name);
      refusals.push(isNamed ? error.message : `${provider!.name}: ${error.message}`);
    }
  }
  const why = refusals[0] ?? "no device near provides memory";
  if (plan.staging === "auto")
    return { slots: openHostSlots(request), reason: `host memory: ${why}` };
  throw new P2pError("NO_PROVIDER", `there is no peer memory to stage in: ${why}`, {
    hint: "name a provider, or stage in host memory: --staging host",
  });
}

/** The providers to try, the closest to both devices first. */
function candidates({ session, plan, end }: StagingRequest): (() => Promise<Provider>)[] {
  const { provider, staging, rdma } = plan;
  const fn = session.pci.get(end.namespace.controller.address);
  if (staging === "cmb") return [() => session.provider(`${fn.address}/cmb`)];
  if (provider !== undefined) return [() => Promise.resolve(provider)];
  const hasCmb = end.namespace.controller.memory.cmb() !== null;
  const near = session.pci.functions.filter(
    (other) => isMemoryCard(other) || (other === fn && hasCmb),
  );
  const far = near.map((other) => {
    const clients = rdma.fn === null ? [fn] : [fn, rdma.fn];
    const paths = clients.map((client) => peerPath(session.pci, other, client));
    return { other, distance: reach(paths).distance };
  });
  return byDistance(far, 0).map(
    ({ other }) =>
      () =>
        session.provider(other === fn ? `${fn.address}/cmb` : other.address),
  );
}

/** The loopback machine is what its description says. */
async function prove(
  { session, plan, end: { namespace }, signal }: StagingRequest,
  provider: Provider,
  { held }: SlotMemory,
): Promise<void> {
  if (session.platform.kind !== "vfio" || held === null) return;
  await proveStaging(session, plan, namespace, { provider, held }, signal);
}
