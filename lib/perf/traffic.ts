import { derivedTraffic, flowInto, flowOutOf, flowOverHost, type Traffic } from "../io/traffic.js";
import type { PciTree } from "../pci/tree.js";
import type { PerfPlan } from "./plan.js";

/** I/Os of each target that counted. */
export interface TargetIos {
  reads: number;
  writes: number;
}

/** Each byte crosses once: into memory where it is read, out of it where it is written. */
export function derivePerfTraffic(
  tree: PciTree,
  { targets, provider = null, ioSize }: PerfPlan,
  ios: readonly TargetIos[],
): Traffic {
  const flows = targets.flatMap(({ device }, index) => {
    const { reads, writes } = ios[index]!;
    if (provider === null) return [flowOverHost(tree, device, (reads + writes) * ioSize)];
    const peer = { device: provider.fn.address, isIdentityMapped: provider.isIdentityMapped };
    return [
      flowInto(tree, device, peer, reads * ioSize),
      flowOutOf(tree, device, peer, writes * ioSize),
    ];
  });
  return derivedTraffic(tree, flows);
}
