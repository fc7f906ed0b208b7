import type { PciFunction } from "./function.js";

/**
 * Hops from `a` and from `b` up to the first bridge above both; `common` is null where they meet
 * only in the root complex, and then the hops lead to the root bus.
 */
export function commonBridge(
  a: PciFunction,
  b: PciFunction,
): { common: PciFunction | null; hopsA: number; hopsB: number } {
  const pathA = [a, ...a.upstream()];
  const pathB = [b, ...b.upstream()];
  for (const [hopsA, bridge] of pathA.entries()) {
    const hopsB = pathB.indexOf(bridge);
    if (hopsB >= 0) return { common: bridge, hopsA, hopsB };
  }
  return { common: null, hopsA: pathA.length, hopsB: pathB.length };
}

/**
 * Distance of a provider from its clients as p2pdma counts it (linux/drivers/pci/p2pdma.c,
 * pci_p2pdma_distance_many): the same function 0, functions of one device 2, two ports of one
 * switch 4; several clients are summed.
 */
export function distance(provider: PciFunction, clients: readonly PciFunction[]): number {
  return clients.reduce((sum, client) => {
    const { hopsA, hopsB } = commonBridge(provider, client);
    return sum + hopsA + hopsB;
  }, 0);
}
