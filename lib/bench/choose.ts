import type { Endpoint } from "../io/endpoint.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import { byDistance, noProvider, reach, roomOf, type FindOptions } from "../p2pmem/find.js";
import { dataRefusal, isPersistent, PMR_UNNAMED } from "../p2pmem/provider-range.js";
import type { PciFunction } from "../pci/function.js";
import { peerPath } from "../pci/peer-path.js";
import { slotStride } from "../io/room.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";

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
    const failures = new Failures();
    for (const { address } of session.pci.functions.filter(canDrive)) {
      const controller = await failures.orNull(session.controller(address));
      for (const { nsid } of controller?.namespaces ?? [])
        if (address !== other?.device || nsid !== other.nsid)
          return { device: address, nsid, offset: 0 };
    }
    failures.throwFirst();
    throw new P2pError("NO_NAMESPACE", "there are no two NVMe namespaces to copy between", {
      hint: "bind two NVMe devices to vfio-pci, or use --platform loopback",
    });
  };
  const from = source ?? (await next(destination));
  return { source: from, destination: destination ?? (await next(from)) };
}

/**
 * What Session.findProvider() would find if all devices were open that can be: closest first they are
 * opened until one has room for a block of `bs` bytes. Not a PMR, which must be named. Errors: NO_PROVIDER, NO_ROOM, and why the
 * first that was tried could not be opened.
 */
export async function chooseProvider(
  session: Session,
  clients: readonly Bdf[],
  bs: number,
  { seed }: FindOptions = {},
): Promise<{ provider: Provider; distance: number }> {
  const size = slotStride(bs);
  const refusals: string[] = [];
  const candidates: { fn: PciFunction; distance: number }[] = [];
  for (const fn of session.pci.functions.filter((fn) => canDrive(fn) || isMemoryCard(fn))) {
    const paths = clients.map((client) => peerPath(session.pci, fn, session.pci.get(client)));
    const { distance, refusal } = reach(paths);
    if (refusal === null) candidates.push({ fn, distance });
    else refusals.push(`${fn.address}: ${refusal}`);
  }
  const failures = new Failures();
  const tooSmall: string[] = [];
  for (const { fn, distance } of byDistance(candidates, seed))
    for (const range of (await failures.orNull(session.providerRanges(fn.address))) ?? []) {
      const name = `${fn.address}/${range.label}`;
      if (isPersistent(range)) {
        refusals.push(`${name}: it is ${PMR_UNNAMED}`);
        continue;
      }
      const refusal = dataRefusal(range);
      if (refusal !== null) {
        refusals.push(`${name}: ${refusal}`);
        continue;
      }
      let room = range.size;
      if (room >= size) {
        const provider = await failures.orNull(session.provider(name));
        if (provider === null) continue;
        if (!provider.isPublished) {
          refusals.push(`${name}: it is not published`);
          continue;
        }
        room = provider.pool.largestFree;
        if (room >= size) return { provider, distance };
      }
      tooSmall.push(`${name}: ${roomOf(room, size)}`);
    }
  failures.throwFirst();
  if (tooSmall.length > 0)
    throw new P2pError(
      "NO_ROOM",
      `no device here has memory for a block of ${formatSize(bs)}: ${tooSmall.join("; ")}`,
      { hint: "use a smaller block size, or --path host" },
    );
  throw noProvider(clients, size, refusals);
}

/**
 * Every provider that all clients reach and that has room for a block of `bs` bytes, in the order of
 * addresses. Not a PMR, which must be named. Errors: NO_PROVIDER; why a device could not be opened,
 * where no other has any.
 */
export async function allProviders(
  session: Session,
  clients: readonly Bdf[],
  bs: number,
): Promise<Provider[]> {
  const size = slotStride(bs);
  const failures = new Failures();
  const providers: Provider[] = [];
  for (const fn of session.pci.functions.filter((fn) => canDrive(fn) || isMemoryCard(fn))) {
    const paths = clients.map((client) => peerPath(session.pci, fn, session.pci.get(client)));
    if (reach(paths).refusal !== null) continue;
    for (const range of (await failures.orNull(session.providerRanges(fn.address))) ?? []) {
      if (isPersistent(range) || dataRefusal(range) !== null || range.size < size) continue;
      const provider = await failures.orNull(session.provider(`${fn.address}/${range.label}`));
      if (provider?.isPublished === true && provider.pool.largestFree >= size)
        providers.push(provider);
    }
  }
  if (providers.length > 0) return providers;
  failures.throwFirst();
  throw noProvider(clients, size, []);
}

/** The first namespace of every controller that can be driven, in the order of addresses. */
export async function firstNamespaces(session: Session): Promise<Endpoint[]> {
  const failures = new Failures();
  const endpoints: Endpoint[] = [];
  for (const { address } of session.pci.functions.filter(canDrive)) {
    const controller = await failures.orNull(session.controller(address));
    const nsid = controller?.namespaces[0]?.nsid;
    if (nsid !== undefined) endpoints.push({ device: address, nsid, offset: 0 });
  }
  if (endpoints.length > 0) return endpoints;
  failures.throwFirst();
  throw new P2pError("NO_NAMESPACE", "there is no NVMe namespace to measure", {
    hint: "bind NVMe devices to vfio-pci, or use --platform loopback",
  });
}

/** What kept devices that nobody named from being used: reason to go on to the next. */
class Failures {
  #first: P2pError | null = null;

  async orNull<T>(attempt: Promise<T>): Promise<T | null> {
    try {
      return await attempt;
    } catch (error) {
      if (!(error instanceof P2pError)) throw error;
      if (error.code !== "NO_PROVIDER") this.#first ??= error;
      return null;
    }
  }

  throwFirst(): void {
    if (this.#first !== null) throw this.#first;
  }
}

/** Whether p2pmem may open it as an NVMe controller. */
export function canDrive(fn: PciFunction): boolean {
  return fn.isNvme && fn.isOwnedByVfio;
}

export function isMemoryCard(fn: PciFunction): boolean {
  return (
    fn.classCode >> 16 === CLASS_MEMORY &&
    fn.isOwnedByVfio &&
    fn.bars.some((bar) => bar?.prefetchable)
  );
}
