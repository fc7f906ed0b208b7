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
  for (const { upTo, share } of LINK_ENCODINGS)
    if (speed <= upTo) return (speed * 1e9 * width * share) / 8;
  return null;
}

/** Looks for the slowest of the links that it is shown. */
export class BottleneckSearch {
  #link: PciFunction | null = null;
  #bandwidth = Infinity;
  #isKnown = true;
  readonly #tree: PciTree;

  constructor(tree: PciTree) {
    this.#tree = tree;
  }

  /** The links on the way up from a function to `end`; null: to the root bus. */
  addWay(from: PciFunction, end: PciFunction | null): void {
    for (let fn: PciFunction | null = from; fn !== end && fn !== null; fn = fn.parent) this.#add(fn);
  }

  /** Null where one is not known, or there is none. Of equal ones the first that was shown. */
  get result(): Bottleneck | null {
    return this.#isKnown && this.#link !== null
      ? { link: this.#link, bandwidth: this.#bandwidth }
      : null;
  }

  #add(fn: PciFunction): void {
    // A virtual function's registers say nothing of a link (SR-IOV 1.1 §3.5): it uses that of its
    // physical function.
    const { physicalFunction: pf } = fn;
    const owner = pf !== null && this.#tree.has(pf) ? this.#tree.get(pf) : fn;
    const has = hasLinkAbove(owner);
    if (has === false) return;
    const bandwidth = has && owner.link !== null ? linkBandwidth(owner.link) : null;
    if (bandwidth === null) this.#isKnown = false;
    else if (bandwidth < this.#bandwidth) {
      this.#link = owner;
      this.#bandwidth = bandwidth;
    }
  }
}

/**
 * Whether the link is above a function: there is none on a root bus, and that of a downstream port is
 * below it, where it is counted as the next one's. Undefined where its kind of port is not known.
 */
function hasLinkAbove({ parent, express, isBridge }: PciFunction): boolean | undefined {
  if (parent === null) return false;
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
