import assert from "node:assert/strict";
import { deriveTraffic, type Legs } from "#lib/copy/traffic.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { fixture } from "../../support/topology-fixtures.js";
import { rawTopology } from "../../support/topology.js";

describe("traffic derived from the routes", () => {
  const cases: [string, string, string, string, string, number | null][] = [
    // Source, destination, and whose memory is between them.
    ["is none where requests are blocked", "cascade", "0b:00.0", "07:00.0", "0c:00.0", 0],
    [
      "is not known inside a device that says nothing",
      "desktop",
      "01:00.1",
      "01:00.1",
      "01:00.0",
      null,
    ],
    ["is that of two legs between root ports", "desktop", "02:00.0", "03:00.0", "01:00.0", 2000],
  ];
  for (const [title, machine, source, destination, device, expected] of cases)
    it(`${title}: ${expected ?? "null"}`, () => {
      const tree = new PciTree(rawTopology(fixture(machine)));
      const legs: Legs = {
        path: "p2p",
        source: parseBdf(source),
        destination: parseBdf(destination),
        provider: { device: parseBdf(device), isIdentityMapped: true },
      };
      assert.equal(deriveTraffic(tree, legs, 1000).root_complex_bytes, expected);
    });
});
