import type { PciFunction } from "./function.js";

/** Where the ways of two functions up to the root complex meet. */
export interface Meeting {
  /** The first bridge on both ways (or one of the two, if it is above the other); null: none. */
  readonly common: PciFunction | null;
  /** Functions from each up to the common bridge, or where there is none the root port included. */
  readonly hopsA: number;
  readonly hopsB: number;
  /**
   * The last on each way before the common bridge: the ports where the two ways part. Without a common
   * bridge the functions on the root buses; null where that one is the common bridge itself.
   */
  readonly belowA: PciFunction | null;
  readonly belowB: PciFunction | null;
}

/** Allocates nothing but its result: a matrix of all pairs asks for each. */
export function meeting(a: PciFunction, b: PciFunction): Meeting {
  const [depthA, depthB] = [depth(a), depth(b)];
  let atA: PciFunction | null = a;
  let atB: PciFunction | null = b;
  let belowA: PciFunction | null = null;
  let belowB: PciFunction | null = null;
  let hopsA = 0;
  let hopsB = 0;
  while (atA !== atB) {
    const lead = depthA - hopsA - (depthB - hopsB);
    if (lead >= 0) {
      belowA = atA;
      atA = atA!.parent;
      hopsA++;
    }
    if (lead <= 0) {
      belowB = atB;
      atB = atB!.parent;
      hopsB++;
    }
  }
  return { common: atA, hopsA, hopsB, belowA, belowB };
}

function depth(fn: PciFunction): number {
  let bridges = 0;
  for (let bridge = fn.parent; bridge !== null; bridge = bridge.parent) bridges++;
  return bridges;
}

/**
 * Hops between a provider and its clients as p2pdma counts them (linux/drivers/pci/p2pdma.c,
 * calc_map_type_and_dist): the same function 0, functions of one device 2, two ports of one switch 4;
 * several clients are summed. Whether they reach each other is another question: see peerPath().
 */
export function distance(provider: PciFunction, clients: readonly PciFunction[]): number {
  return clients.reduce((sum, client) => {
    const { hopsA, hopsB } = meeting(provider, client);
    return sum + hopsA + hopsB;
  }, 0);
}
