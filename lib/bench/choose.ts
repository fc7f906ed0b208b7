import type { Endpoint } from "../io/endpoint.js";
import { P2pError } from "../errors.js";
import type { Provider } from "../p2pmem/provider.js";
import type { Bdf } from "../pci/bdf.js";
import { byDistance, noProvider, reach, roomOf, type FindOptions } from "../p2pmem/find.js";
import { isMemoryCard } from "../p2pmem/memory-card.js";
import { dataRefusal, isPersistent, PMR_UNNAMED } from "../p2pmem/provider-range.js";
import type { PciFunction } from "../pci/function.js";
import { peerPath } from "../pci/peer-path.js";
import { slotStride } from "../io/room.js";
import type { Session } from "../session.js";
import { formatSize } from "../units.js";
import { isOfOnePoint } from "./error.js";

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

export interface ChooseOptions extends FindOptions {
  /** Whose driver the clients have. Default: vfio. */
  owner?: "vfio" | "kernel";
  /** What else one that has room is good for; of one that it throws a P2pError for the next is tried. */
  assertFit?: (provider: Provider) => void | Promise<void>;
}

export interface ChosenProvider {
  provider: Provider;
  distance: number;
  /** Why assertFit() refused those that would have been taken before. */
  unfit: P2pError[];
}

/**
 * What Session.findProvider() would find if all devices were open that can be: closest first they are
 * opened until one has room for a block of `bs` bytes. Not a PMR, which must be named. Errors: NO_PROVIDER, NO_ROOM, and why the
 * first that was tried could not be opened, or did not fit.
 */
export async function chooseProvider(
  session: Session,
  clients: readonly Bdf[],
  bs: number,
  { seed, owner, assertFit }: ChooseOptions = {},
): Promise<ChosenProvider> {
  const size = slotStride(bs);
  const refusals: string[] = [];
  const candidates: { fn: PciFunction; distance: number }[] = [];
  for (const fn of session.pci.functions.filter((fn) => canDrive(fn) || isMemoryCard(fn))) {
    const paths = clients.map((client) => peerPath(session.pci, fn, session.pci.get(client)));
    const { distance, refusal } = reach(paths, owner);
    if (refusal === null) candidates.push({ fn, distance });
    else refusals.push(`${fn.address}: ${refusal}`);
  }
  const failures = new Failures();
  const unfit: P2pError[] = [];
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
        if (room >= size) {
          const refusal = await failures.of(() => assertFit?.(provider));
          if (refusal === null) return { provider, distance, unfit };
          unfit.push(refusal);
          continue;
        }
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

/** One of all that there are. */
export interface OneOf<T> {
  what: T;
  /** Why it cannot be used; null: nothing is known against it. */
  refusal: P2pError | null;
}

/**
 * Every provider that all clients reach, in the order of addresses, by its name; refused where it cannot
 * be opened, or has no room for a block of `bs` bytes (NO_ROOM). A device that cannot be asked what it
 * has is one by its address, if it has a BAR that may be memory. Not a PMR, which must be named. Errors:
 * NO_PROVIDER.
 */
export async function allProviders(
  session: Session,
  clients: readonly Bdf[],
  bs: number,
  attempts: Attempts,
): Promise<OneOf<string>[]> {
  const size = slotStride(bs);
  const providers: OneOf<string>[] = [];
  const refusals: string[] = [];
  for (const fn of session.pci.functions.filter((fn) => canDrive(fn) || isMemoryCard(fn))) {
    const paths = clients.map((client) => peerPath(session.pci, fn, session.pci.get(client)));
    const { refusal: unreached } = reach(paths);
    if (unreached !== null) {
      refusals.push(`${fn.address}: ${unreached}`);
      continue;
    }
    const ranges = await attempts.try(fn.address, () => session.providerRanges(fn.address));
    if (ranges instanceof P2pError) {
      if (fn.bars.some((bar) => bar?.prefetchable))
        providers.push({ what: fn.address, refusal: ranges });
      continue;
    }
    for (const range of ranges) {
      const name = `${fn.address}/${range.label}`;
      const unfit = isPersistent(range) ? `it is ${PMR_UNNAMED}` : dataRefusal(range);
      if (unfit !== null) {
        refusals.push(`${name}: ${unfit}`);
        continue;
      }
      const provider = await attempts.try(name, () => session.provider(name));
      if (provider instanceof P2pError) providers.push({ what: name, refusal: provider });
      else if (provider.isPublished)
        providers.push({ what: name, refusal: noRoom(fn, name, provider.pool.largestFree, bs) });
      else refusals.push(`${name}: it is not published`);
    }
  }
  if (providers.length > 0) return providers;
  throw noProvider(clients, size, refusals);
}

function noRoom({ address }: PciFunction, name: string, free: number, bs: number): P2pError | null {
  const lack = roomOf(free, slotStride(bs));
  if (lack === null) return null;
  return new P2pError("NO_ROOM", `${name}: ${lack}`, {
    device: address,
    hint: "use a smaller block size, or another provider",
  });
}

/**
 * The first namespace of every controller that can be driven, in the order of addresses. Of one that
 * cannot be opened nobody knows which that is: it counts as namespace 1. Errors: NO_NAMESPACE; why the
 * first could not be opened, where no other has any.
 */
export async function firstNamespaces(
  session: Session,
  attempts: Attempts,
): Promise<OneOf<Endpoint>[]> {
  const endpoints: OneOf<Endpoint>[] = [];
  for (const { address: device } of session.pci.functions.filter(canDrive)) {
    const controller = await attempts.try(device, () => session.controller(device));
    if (controller instanceof P2pError) {
      endpoints.push({ what: { device, nsid: 1, offset: 0 }, refusal: controller });
      continue;
    }
    const nsid = controller.namespaces[0]?.nsid;
    if (nsid !== undefined) endpoints.push({ what: { device, nsid, offset: 0 }, refusal: null });
  }
  if (endpoints.some(({ refusal }) => refusal === null)) return endpoints;
  throw (
    endpoints[0]?.refusal ??
    new P2pError("NO_NAMESPACE", "there is no NVMe namespace to measure", {
      hint: "bind NVMe devices to vfio-pci, or use --platform loopback",
    })
  );
}

/** What could not be opened, so that nobody waits for it again: a timeout is long. */
export class Attempts {
  readonly #refusals = new Map<string, P2pError>();

  /** What `attempt` gives, or why it does not. Errors: those that are not of this device alone. */
  async try<T>(name: string, attempt: () => Promise<T>): Promise<T | P2pError> {
    const known = this.#refusals.get(name);
    if (known !== undefined) return known;
    try {
      return await attempt();
    } catch (error) {
      if (!isOfOnePoint(error)) throw error;
      this.#refusals.set(name, error);
      return error;
    }
  }
}

/** What kept devices that nobody named from being used: reason to go on to the next. */
class Failures {
  #first: P2pError | null = null;

  async orNull<T>(attempt: Promise<T>): Promise<T | null> {
    try {
      return await attempt;
    } catch (error) {
      this.#keep(error);
      return null;
    }
  }

  /** That of the attempt; null: it is none. */
  async of(attempt: () => void | Promise<void>): Promise<P2pError | null> {
    try {
      await attempt();
      return null;
    } catch (error) {
      return this.#keep(error);
    }
  }

  #keep(error: unknown): P2pError {
    if (!(error instanceof P2pError)) throw error;
    if (error.code !== "NO_PROVIDER") this.#first ??= error;
    return error;
  }

  throwFirst(): void {
    if (this.#first !== null) throw this.#first;
  }
}

/** Whether p2pmem may open it as an NVMe controller. */
function canDrive(fn: PciFunction): boolean {
  return fn.isNvme && fn.isOwnedByVfio;
}
