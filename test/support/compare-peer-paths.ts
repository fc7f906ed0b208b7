import assert from "node:assert/strict";
import { peerPath } from "#lib/pci/peer-path.js";
import { PciTree } from "#lib/pci/tree.js";
import { Oracle, type Answer } from "./peer-path-oracle.js";
import { rawTopology, type DescribedMachine } from "./topology.js";

/** Compares peerPath() with the oracle for all pairs of a machine. */
export function compare(machine: DescribedMachine): void {
  const tree = new PciTree(rawTopology(machine));
  const oracle = new Oracle(machine);
  for (const provider of tree.functions)
    for (const client of tree.functions) {
      const { distance, kernel, vfio, route, completionRoute, bottleneck } = peerPath(
        tree,
        provider,
        client,
      );
      const ours: Answer = {
        ...{ distance, route, completionRoute },
        ...{ kernel: kernel.mapType, vfio: vfio.mapType, needsProof: vfio.needsProof },
        bottleneck:
          bottleneck && `${bottleneck.link.address} ${Math.round(bottleneck.bandwidth / 1e6)}`,
      };
      assert.deepEqual(
        ours,
        oracle.answer(provider.address, client.address),
        `${provider.address} for ${client.address}`,
      );
    }
}
