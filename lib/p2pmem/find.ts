import { randomInt } from "node:crypto";
import { P2pError } from "../errors.js";
import type { Bdf } from "../pci/bdf.js";
import type { PeerPath } from "../pci/peer-path.js";
import { randomNumbers } from "../stats/random-numbers.js";
import { formatSize } from "../units.js";
import type { Provider } from "./provider.js";

export interface FindOptions {
  /** The choice among equals is the same for the same seed, a whole number; else it is random. */
  seed?: number | undefined;
}

/** What find() looks at. */
export type Candidate = Pick<
  Provider,
  "name" | "isPublished" | "revoked" | "dataRefusal" | "pathTo"
> & {
  readonly pool: Pick<Provider["pool"], "largestFree">;
};

/**
 * The published provider that is closest to all clients together, that each of them reaches, and that
 * has `size` contiguous bytes free; among equals any (linux/drivers/pci/p2pdma.c,
 * pci_p2pmem_find_many). Where it is unknown whether a client reaches it, it counts as if it did: see
 * Provider.mapTypeFor(). Errors: NO_PROVIDER, with the reason for each that there is; BAD_ARGUMENT.
 */
export function findProvider<T extends Candidate>(
  providers: Iterable<T>,
  clients: readonly Bdf[],
  size: number,
  { seed }: FindOptions = {},
): T {
  if (clients.length === 0)
    throw new P2pError("BAD_ARGUMENT", "a provider is found for clients, but none was given");
  if (!Number.isSafeInteger(size) || size < 1)
    throw new P2pError("BAD_ARGUMENT", `a provider must have room for 1 byte or more, not ${size}`);
  const fit: { provider: T; distance: number }[] = [];
  const refusals: string[] = [];
  for (const provider of providers) {
    const { distance, refusal } = reach(clients.map((client) => provider.pathTo(client)));
    const why = stateOf(provider) ?? refusal ?? roomOf(provider.pool.largestFree, size);
    if (why === null) fit.push({ provider, distance });
    else refusals.push(`${provider.name}: ${why}`);
  }
  const [closest] = byDistance(fit, seed);
  if (closest !== undefined) return closest.provider;
  throw noProvider(clients, size, refusals);
}

/**
 * Sum of the distances, and what keeps a client from reaching the provider; null: nothing. `owner`: whose
 * the clients are, which decides what they reach.
 */
export function reach(
  paths: readonly PeerPath[],
  owner: "vfio" | "kernel" = "vfio",
): { distance: number; refusal: string | null } {
  const refused = paths.find((path) => path[owner].mapType === "NOT_SUPPORTED");
  return {
    distance: paths.reduce((sum, { distance }) => sum + distance, 0),
    refusal: refused === undefined ? null : refused[owner].reason,
  };
}

/** Why there is no room; null where there is. `largest`: bytes. */
export function roomOf(largest: number, size: number): string | null {
  if (largest >= size) return null;
  return `it has ${formatSize(largest)} free in one piece, not ${formatSize(size)}`;
}

/** Closest first; those at one distance in any order. */
export function byDistance<T extends { distance: number }>(
  items: readonly T[],
  seed: number = randomInt(2 ** 32),
): T[] {
  const random = randomNumbers(seed);
  return items
    .map((item) => ({ item, order: random() }))
    .sort((a, b) => a.item.distance - b.item.distance || a.order - b.order)
    .map(({ item }) => item);
}

/** Errors to throw where nothing fits: each refusal is `name: reason`. */
export function noProvider(
  clients: readonly Bdf[],
  size: number,
  refusals: readonly string[],
): P2pError {
  const wanted = `${formatSize(size)} of memory that ${clients.join(" and ")} can reach`;
  const why = refusals.length === 0 ? "no device provides any" : refusals.join("; ");
  return new P2pError("NO_PROVIDER", `nobody has ${wanted}: ${why}`, {
    hint: "use a controller with a CMB or a p2pmem card near the clients, or host memory",
  });
}

function stateOf({ isPublished, revoked, dataRefusal }: Candidate): string | null {
  if (revoked !== null) return revoked.message;
  return isPublished ? dataRefusal : "it is not published";
}
