import type { RawLink } from "../platform.js";
import type { PciFunction } from "./function.js";
import { LINK_ENCODINGS } from "./spec.js";
import type { PciTree } from "./tree.js";

/** The slowest link between two functions, named by its lower end. */
export interface Bottleneck {
  readonly link: PciFunction;
  /** Bytes a second in one direction, by speed, width and encoding. */
  readonly bandwidth: number;
}

/** Bytes a second in one direction as the link runs now; null: not known. */
export function linkBandwidth({ speed, width }: RawLink): number | null {
  if (speed === null || width === null) return null;
  const encoding = LINK_ENCODINGS.find(({ upTo }) => speed <= upTo);
  return encoding === undefined ? null : (speed * 1e9 * width * encoding.share) / 8;
}

/**
 * The slowest link on the ways up from two functions, as far as `end`; null: to their root buses. Of
 * equal ones the first. Null where one is not known, or there is none.
 */
export function slowestLink(
  tree: PciTree,
  a: PciFunction,
  b: PciFunction,
  end: PciFunction | null,
): Bottleneck | null {
  const slowest = slower(slowestUpTo(tree, a, end), slowestUpTo(tree, b, end));
  return typeof slowest === "string" ? null : slowest;
}

/**
 * The links on the way up from a function as far as `end`, which is above it (null: to its root bus),
 * by their lower ends, nearest first. Functions of one device share a link, named by the first of
 * them. Null where it is not known whether there is one.
 */
export function linksUp(
  tree: PciTree,
  from: PciFunction,
  end: PciFunction | null,
): PciFunction[] | null {
  const found: PciFunction[] = [];
  for (let fn: PciFunction | null = from; fn !== end && fn !== null; fn = fn.parent) {
    const owner = linkOwner(tree, fn);
    const has = hasLinkAbove(owner);
    if (has === undefined) return null;
    if (has) found.push(firstOfDevice(tree, owner));
  }
  return found;
}

function firstOfDevice(tree: PciTree, fn: PciFunction): PciFunction {
  return tree.functions.find((other) => other.parent === fn.parent && hasLinkAbove(other)) ?? fn;
}

type Slowest = Bottleneck | "none" | "unknown";

/** What a matrix of all pairs asks for again and again: of each function, its link and its way up. */
const links = new WeakMap<PciFunction, Slowest>();
const waysUp = new WeakMap<PciFunction, Slowest>();

function slowestUpTo(tree: PciTree, from: PciFunction, end: PciFunction | null): Slowest {
  if (end === null) return slowestWayUp(tree, from);
  let slowest: Slowest = "none";
  for (let fn: PciFunction | null = from; fn !== end && fn !== null; fn = fn.parent)
    slowest = slower(slowest, linkAbove(tree, fn));
  return slowest;
}

function slowestWayUp(tree: PciTree, fn: PciFunction): Slowest {
  let slowest = waysUp.get(fn);
  if (slowest === undefined) {
    const above = fn.parent === null ? "none" : slowestWayUp(tree, fn.parent);
    slowest = slower(linkAbove(tree, fn), above);
    waysUp.set(fn, slowest);
  }
  return slowest;
}

function slower(first: Slowest, second: Slowest): Slowest {
  if (first === "unknown" || second === "unknown") return "unknown";
  if (first === "none") return second;
  return second === "none" || first.bandwidth <= second.bandwidth ? first : second;
}

function linkAbove(tree: PciTree, fn: PciFunction): Slowest {
  let link = links.get(fn);
  if (link === undefined) links.set(fn, (link = readLinkAbove(tree, fn)));
  return link;
}

function readLinkAbove(tree: PciTree, fn: PciFunction): Slowest {
  const owner = linkOwner(tree, fn);
  const has = hasLinkAbove(owner);
  if (has === false) return "none";
  const bandwidth = has && owner.link !== null ? linkBandwidth(owner.link) : null;
  if (bandwidth === null) return "unknown";
  const link: Bottleneck = { link: owner, bandwidth };
  return link;
}

/**
 * A virtual function's registers say nothing of a link (SR-IOV 1.1 §3.5): it uses that of its physical
 * function.
 */
function linkOwner(tree: PciTree, fn: PciFunction): PciFunction {
  return fn.physicalFunction === null ? fn : tree.get(fn.physicalFunction);
}

/**
 * Whether the link is above a function: there is none on a root bus, and that of a downstream port is
 * below it, where it is counted as the next one's, even if that says nothing of PCI Express (as QEMU's
 * conventional functions there). Undefined where its kind of port is not known.
 */
function hasLinkAbove({ parent, express, isBridge }: PciFunction): boolean | undefined {
  if (parent === null) return false;
  const above = parent.express?.portType;
  if (above === "root-port" || above === "downstream-port") return true;
  switch (express?.portType) {
    case "root-port":
    case "downstream-port":
    case "integrated-endpoint":
    case "event-collector":
      return false;
    case "endpoint":
    case "legacy-endpoint":
    case "upstream-port":
    case "pcie-to-pci-bridge":
      return true;
    default:
      return express === undefined && !isBridge ? true : undefined;
  }
}
