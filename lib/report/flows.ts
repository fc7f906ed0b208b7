import type { BenchPath } from "../bench/point.js";
import type { BenchResult, MachineReport, PathReport, RdmaEndReport } from "../bench/report.js";
import { groupBy } from "../group-by.js";
import { addressOf, endpointsOf, shortName } from "./addresses.js";
import { DeviceTree, HOST_MEMORY } from "./device-tree.js";
import { quotient } from "./quantities.js";

/** The way of some results' data through the machine. */
export interface Flow {
  path: BenchPath;
  rw: string;
  src: string | null;
  dst: string | null;
  provider: string | null;
  legs: Leg[];
  /** The devices between which they go, by address, as far as that is known. */
  ends: string[];
  /** Bytes over a device's link for each byte moved, by the device's address. */
  links: Map<string, number>;
}

/** From one place that holds the data to the next. */
export interface Leg {
  /** What is passed, both ends included: places of a DeviceTree; null: not known. */
  way: string[] | null;
  /** In words: `03:00.0 → 05:00.0, direct`. */
  words: string;
}

/** Each way once, in the order of the results. */
export function flowsOf(results: readonly BenchResult[], machine: MachineReport): Flow[] {
  const alike = groupBy(results, ({ path, rw, src, dst, provider }) =>
    JSON.stringify([path, direction(rw), src, dst, provider]),
  );
  const tree = new DeviceTree(machine.devices);
  return [...alike.values()].map((own) => flowOf(own, machine.paths, tree));
}

function flowOf(results: readonly BenchResult[], paths: PathReport[], tree: DeviceTree): Flow {
  const { path, rw, src, dst, provider } = results[0]!;
  const ways = new Ways(paths, tree);
  const legs = stations(results[0]!);
  return {
    ...{ path, rw, src, dst, provider },
    legs: legs.map(([from, to]) => ways.leg(from, to)),
    ends: legs.flatMap((ends) => ends.map(addressOf).filter((address) => address !== null)),
    links: linkBytes(results),
  };
}

/** `read`, `randread` and so on go one way; a mix goes both. */
function direction(rw: string): string {
  return rw.replace(/^rand/, "");
}

/** Each two places between which data travel; a place is an endpoint, a provider, or host memory. */
function stations({ path, src, dst, provider, rdma }: BenchResult): [string, string][] {
  const sources = endpointsOf(src);
  const targets = endpointsOf(dst);
  if (rdma !== null) return overRdma(sources, targets, rdma);
  if (path === "nvme-copy") return sources.flatMap((from) => targets.map((to) => pair(from, to)));
  const isPeer = path === "p2p" || path === "kernel-p2p";
  const entry = isPeer ? (provider ?? "peer memory") : HOST_MEMORY;
  const exit = path === "cpu" ? (provider ?? "peer memory") : entry;
  return [
    ...sources.map((from) => pair(from, entry)),
    ...(path === "cpu" ? [pair(entry, exit)] : []),
    ...targets.map((to) => pair(exit, to)),
  ];
}

/** By way of each end's staging memory and NIC; the wire between the two is no part of the machine. */
function overRdma(
  sources: readonly string[],
  targets: readonly string[],
  { src, dst }: NonNullable<BenchResult["rdma"]>,
): [string, string][] {
  const memoryOf = ({ staging }: RdmaEndReport): string =>
    staging === "host" ? HOST_MEMORY : staging;
  const nicOf = ({ address, dev }: RdmaEndReport): string => address ?? dev;
  return [
    ...sources.map((from) => pair(from, memoryOf(src))),
    pair(memoryOf(src), nicOf(src)),
    pair(nicOf(dst), memoryOf(dst)),
    ...targets.map((to) => pair(memoryOf(dst), to)),
  ];
}

function pair(from: string, to: string): [string, string] {
  return [from, to];
}

/** Over all results of one way; none where it is not known of all of them. */
function linkBytes(results: readonly BenchResult[]): Map<string, number> {
  const sums = new Map<string, number>();
  let moved = 0;
  for (const { bytes, traffic } of results) {
    if (traffic.links === null) return new Map();
    moved += bytes;
    for (const { link, bytes: over } of traffic.links)
      sums.set(link.toLowerCase(), (sums.get(link.toLowerCase()) ?? 0) + over);
  }
  return new Map(
    [...sums].flatMap(([link, bytes]) => {
      const ratio = quotient(bytes, moved);
      return ratio === null ? [] : [[link, ratio] as const];
    }),
  );
}

class Ways {
  readonly #paths: readonly PathReport[];
  readonly #tree: DeviceTree;

  constructor(paths: readonly PathReport[], tree: DeviceTree) {
    this.#paths = paths;
    this.#tree = tree;
  }

  leg(from: string, to: string): Leg {
    const [start, end] = [place(from), place(to)];
    const missing = [start, end].some((one) => one === null || !this.#tree.has(one));
    const route = this.#route(from, to);
    const way = missing ? null : this.#tree.way(start!, end!, route);
    const names = `${shortName(from)} → ${shortName(to)}`;
    return {
      way,
      words: `${names}, ${way === null && missing ? "place not known" : routeWords(route)}`,
    };
  }

  /** As the report has it of two devices; a way to or from host memory is always over the root. */
  #route(from: string, to: string): string {
    if (from === HOST_MEMORY || to === HOST_MEMORY) return "root";
    const [a, b] = [place(from), place(to)];
    if (a !== null && a === b) return "internal";
    const known = this.#paths.find(({ client, provider }) => {
      const ends = [place(client), place(provider)];
      return (ends[0] === a && ends[1] === b) || (ends[0] === b && ends[1] === a);
    });
    return known?.route ?? "unknown";
  }
}

function routeWords(route: string): string {
  return route === "root"
    ? "over the root complex"
    : route === "unknown"
      ? "route not known"
      : route;
}

function place(name: string): string | null {
  return name === HOST_MEMORY ? name : addressOf(name);
}
