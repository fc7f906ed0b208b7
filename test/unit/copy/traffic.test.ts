import assert from "node:assert/strict";
import type { CopyPath } from "#lib/copy/plan.js";
import { deriveTraffic, type Legs } from "#lib/copy/traffic.js";
import type { Traffic } from "#lib/io/traffic.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { PciTree } from "#lib/pci/tree.js";
import { fixture } from "../../support/topology-fixtures.js";
import { rawTopology } from "../../support/topology.js";

function derive(
  machine: string,
  path: CopyPath,
  source: string,
  destination: string,
  device: string,
): Traffic {
  const tree = new PciTree(rawTopology(fixture(machine)));
  const legs: Legs = {
    path,
    source: parseBdf(source),
    destination: parseBdf(destination),
    provider: { device: parseBdf(device), isIdentityMapped: true },
  };
  return deriveTraffic(tree, legs, 1000);
}

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
      const traffic = derive(machine, "p2p", source, destination, device);
      assert.equal(traffic.root_complex_bytes, expected);
    });

  const overLinks: [string, Parameters<typeof derive>, Record<string, number> | null][] = [
    [
      "are those up to the root port, and down again",
      ["desktop", "p2p", "02:00.0", "03:00.0", "01:00.0"],
      { "0000:01:00.0": 2000, "0000:02:00.0": 1000, "0000:03:00.0": 1000 },
    ],
    [
      "are one of all functions of a device",
      ["desktop", "host", "01:00.0", "01:00.1", "01:00.0"],
      { "0000:01:00.0": 2000 },
    ],
    [
      "are not known where requests are blocked on the way",
      ["cascade", "p2p", "0b:00.0", "07:00.0", "0c:00.0"],
      null,
    ],
    [
      "are not known inside a device that says nothing",
      ["desktop", "p2p", "01:00.1", "01:00.1", "01:00.0"],
      null,
    ],
  ];
  for (const [title, run, expected] of overLinks)
    it(`over links ${title}`, () => {
      const { links } = derive(...run);
      const found = links && Object.fromEntries(links.map(({ link, bytes }) => [link, bytes]));
      assert.deepEqual(found, expected);
    });
});
