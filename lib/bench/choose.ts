import type { Endpoint } from "../copy/endpoint.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import { distance } from "../pci/distance.js";
import type { PciFunction } from "../pci/function.js";
import type { Session } from "../session.js";

/** PCI base class 05h: memory controllers, which is what p2pmem cards are. */
const CLASS_MEMORY = 0x05;

/**
 * The namespaces to use where `source` or `destination` was not named: the first in the order of
 * addresses that the other does not use. Errors: NO_NAMESPACE, and those of opening controllers.
 */
export async function chooseEndpoints(
  session: Session,
  source: Endpoint | null,
  destination: Endpoint | null,
): Promise<{ source: Endpoint; destination: Endpoint }> {
  const next = async (other: Endpoint | null): Promise<Endpoint> => {
    for (const { address } of session.pci.functions.filter(canDrive))
      for (const { nsid } of (await session.controller(address)).namespaces)
        if (address !== other?.device || nsid !== other.nsid)
          return { device: address, nsid, offset: 0 };
    throw new P2pError("NO_NAMESPACE", "there are no two NVMe namespaces to copy between", {
      hint: "bind two NVMe devices to vfio-pci, or use --platform loopback",
    });
  };
  const from = source ?? (await next(destination));
  return { source: from, destination: destination ?? (await next(from)) };
}

/**
 * The provider closest to all clients, as p2pdma counts distance; among equals a card before an NVMe
 * controller, whose memory has other work to do, then by address. Errors: NO_PROVIDER.
 */
export async function chooseProvider(
  session: Session,
  clients: readonly Bdf[],
): Promise<{ provider: Provider; distance: number }> {
  const functions = clients.map((client) => session.pci.get(client));
  const candidates = session.pci.functions
    .filter((fn) => canDrive(fn) || isMemoryCard(fn))
    .map((fn) => ({ fn, distance: distance(fn, functions) }))
    .sort((a, b) => a.distance - b.distance || Number(a.fn.isNvme) - Number(b.fn.isNvme));
  for (const { fn, distance } of candidates) {
    const provider = await session.provider(fn.address).catch((error: unknown) => {
      if (error instanceof P2pError && error.code === "NO_PROVIDER") return null;
      throw error;
    });
    if (provider !== null) return { provider, distance };
  }
  throw new P2pError("NO_PROVIDER", "no device here has memory for its peers", {
    hint: "use an NVMe controller with a CMB or a p2pmem card, or --path host",
  });
}

function canDrive(fn: PciFunction): boolean {
  return fn.isNvme && fn.isOwnedByVfio;
}

function isMemoryCard(fn: PciFunction): boolean {
  return (
    fn.classCode >> 16 === CLASS_MEMORY &&
    fn.isOwnedByVfio &&
    fn.bars.some((bar) => bar?.prefetchable)
  );
}
