import type { Meeting } from "./distance.js";
import type { PciFunction } from "./function.js";
import type { RootComplexWay } from "./host-bridges.js";
import { kernelRedirects, redirectWords, unreadWords } from "./redirect.js";
import type { MapType, Verdict } from "./verdict.js";

/**
 * What p2pdma says where kernel drivers own both (linux/drivers/pci/p2pdma.c,
 * calc_map_type_and_dist). It looks for redirect everywhere up to the common bridge and at that bridge,
 * though not every port has a choice: its verdict and the route can differ.
 */
export class KernelVerdict implements Verdict {
  readonly mapType: MapType;
  readonly #provider: PciFunction;
  readonly #client: PciFunction;
  readonly #common: PciFunction | null;
  readonly #root: RootComplexWay;

  constructor(
    provider: PciFunction,
    client: PciFunction,
    { common }: Meeting,
    root: RootComplexWay,
  ) {
    this.#provider = provider;
    this.#client = client;
    this.#common = common;
    this.#root = root;
    const redirected = common === null ? true : anyRedirects(provider, client, common);
    if (redirected === false) this.mapType = "BUS_ADDR";
    else if (redirected === undefined) this.mapType = "UNKNOWN";
    else if (root.forwards === undefined) this.mapType = "UNKNOWN";
    else this.mapType = root.forwards ? "THROUGH_HOST_BRIDGE" : "NOT_SUPPORTED";
  }

  get reason(): string {
    const common = this.#common;
    const [provider, client] = [this.#provider, this.#client];
    if (common === null) return `no bridge is above both; ${this.#root.reason}`;
    const way = looked(provider, client, common);
    const redirecting = way.filter((fn) => kernelRedirects(fn) === true);
    if (redirecting.length > 0)
      return [...redirecting.map((fn) => redirectWords(fn)), this.#root.reason].join("; ");
    const unread = way.find((fn) => kernelRedirects(fn) === undefined);
    if (unread) return unreadWords(unread);
    return provider === client
      ? "the memory is its own"
      : `${common.address} is above both, and nothing up to there redirects`;
  }
}

/** Undefined where none is known to, and one could not be read. Allocates nothing. */
function anyRedirects(
  provider: PciFunction,
  client: PciFunction,
  common: PciFunction,
): boolean | undefined {
  const below = redirectsUpTo(client, common);
  if (below === true) return true;
  const rest = redirectsUpTo(provider, common.parent);
  return rest === true ? true : below === undefined ? undefined : rest;
}

/** On the way up from a function, itself included, and `end` excluded. */
function redirectsUpTo(from: PciFunction, end: PciFunction | null): boolean | undefined {
  let result: boolean | undefined = false;
  for (let fn: PciFunction | null = from; fn !== end && fn !== null; fn = fn.parent) {
    const redirected = kernelRedirects(fn);
    if (redirected === true) return true;
    if (redirected === undefined) result = undefined;
  }
  return result;
}

/** The functions whose ACS counts, in the kernel's order: the common bridge is on the provider's way. */
function looked(provider: PciFunction, client: PciFunction, common: PciFunction): PciFunction[] {
  const upTo = (fn: PciFunction): PciFunction[] => {
    const way = [fn, ...fn.upstream()];
    return way.slice(0, way.indexOf(common));
  };
  return [...upTo(provider), common, ...upTo(client)];
}
