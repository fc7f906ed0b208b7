import assert from "node:assert/strict";
import { parseBdf } from "#lib/pci/bdf.js";
import { kernelDistance, peerPath, type PeerPath } from "#lib/pci/peer-path.js";
import { completionRoute, route } from "#lib/pci/route.js";
import { PciTree } from "#lib/pci/tree.js";
import { compare } from "../../support/compare-peer-paths.js";
import { FIXTURES, fixture } from "../../support/topology-fixtures.js";
import { rawTopology } from "../../support/topology.js";
import { TABLE } from "./path-table.js";

/** Where the described machines have it. */
const ACS_CAPABILITY_REGISTER = 0x144;

const SHORT = { BUS_ADDR: "BUS", THROUGH_HOST_BRIDGE: "HOST", NOT_SUPPORTED: "NO", UNKNOWN: "?" };

function pathOf(tree: PciTree, provider: string, client: string): PeerPath {
  return peerPath(tree, tree.get(parseBdf(provider)), tree.get(parseBdf(client)));
}

/** A path in the words of the table. */
function answer({ distance, kernel, vfio, route, completionRoute }: PeerPath): string {
  const proof = vfio.needsProof ? "?" : "";
  const mapTypes = `${SHORT[kernel.mapType]} ${SHORT[vfio.mapType]}${proof}`;
  return `${distance} ${mapTypes} ${route} ${completionRoute}`;
}

describe("a provider and a client, by hand", () => {
  for (const { machine, but = {}, rows } of TABLE) {
    const changes = Object.entries(but).map(([from, to]) => `${to.trim()} for ${from.trim()}`);
    describe([machine, ...changes].join(", ").replaceAll("\n", " "), () => {
      const tree = new PciTree(rawTopology(fixture(machine, but)));
      const lines = rows.split("\n").map((line) => line.trim());
      for (const line of lines.filter((text) => text !== "" && !text.startsWith("#")))
        it(line, () => {
          const [pair = "", expected = "", words = ""] = line.split(" | ");
          const [provider = "", client = ""] = pair.split(" ");
          const path = pathOf(tree, provider, client);
          assert.equal(answer(path), expected);
          const [, whose = "", part = ""] = /^(\w+): (.+)$/.exec(words) ?? [];
          const { kernel, vfio, routeReason } = path;
          const reason = { kernel: kernel.reason, vfio: vfio.reason, route: routeReason }[whose];
          assert.ok(reason?.includes(part), `"${reason ?? ""}" has "${part}"`);
        });
    });
  }

  it("there are at least 150 of them", () => {
    const rows = TABLE.flatMap((group) => group.rows.split("\n")).filter((row) =>
      row.includes("|"),
    );
    assert.ok(rows.length >= 150, `${rows.length}`);
  });
});

describe("all pairs of each machine", () => {
  const variants = [
    {},
    { "cpu ": "cut\ncpu " },
    { "cpu ": "iommu off\ncpu " },
    { "cpu ": "cpu - # " },
    { "cpu ": "cpu GenuineIntel 6 # " },
  ];
  for (const name of FIXTURES)
    it(`${name}: as the oracle says`, () => {
      for (const but of variants) compare(fixture(name, but));
    });

  for (const name of FIXTURES)
    it(`${name}: every reason is one line of plain words`, () => {
      for (const but of variants) {
        const tree = new PciTree(rawTopology(fixture(name, but)));
        for (const provider of tree.functions)
          for (const client of tree.functions) {
            const { kernel, vfio, routeReason } = peerPath(tree, provider, client);
            for (const reason of [kernel.reason, vfio.reason, routeReason]) {
              assert.match(reason, /^[^\n]{10,}$/);
              assert.doesNotMatch(reason, /undefined|null|NaN|\[object| {2}|\(\)/);
            }
          }
      }
    });

  it("the route alone is that of the path", () => {
    const tree = new PciTree(rawTopology(fixture("cascade")));
    for (const provider of tree.functions)
      for (const client of tree.functions) {
        const path = peerPath(tree, provider, client);
        assert.equal(route(client, provider), path.route);
        assert.equal(completionRoute(client, provider), path.completionRoute);
      }
  });
});

describe("two functions of one device", () => {
  /** With this ACS capability register at both, and nothing on. */
  function pathOfPair(capability: number): PeerPath {
    const { functions, ...rest } = rawTopology(fixture("sriov", { "acs=rr": "acs=off" }));
    for (const { address, config } of functions)
      if (address.startsWith("0000:05:00"))
        new DataView(config.buffer).setUint16(ACS_CAPABILITY_REGISTER, capability, true);
    return pathOf(new PciTree({ functions, ...rest }), "05:00.0", "05:00.1");
  }

  const [RR, CR] = [1 << 2, 1 << 3];
  const cases: [string, number, string][] = [
    ["both redirects", RR | CR, "direct direct BUS_ADDR false"],
    ["Request Redirect only", RR, "direct unstated BUS_ADDR true"],
    ["Completion Redirect only", CR, "unstated direct BUS_ADDR true"],
    ["neither", 0, "unstated unstated BUS_ADDR true"],
  ];
  for (const [title, capability, expected] of cases)
    it(`reach each other inside as far as their ACS can redirect that: ${title}`, () => {
      const { route: request, completionRoute: completion, vfio } = pathOfPair(capability);
      const found = [request, completion, vfio.mapType, vfio.needsProof];
      assert.equal(found.join(" "), expected);
    });
});

describe("distance from several clients, as p2pdma gives it", () => {
  const cases: [string, string, string[], number | null][] = [
    ["skylake", "19:00.0", ["1a:00.0"], 4],
    ["skylake", "19:00.0", ["1a:00.0", "1e:00.0"], 10],
    ["skylake", "19:00.0", ["19:00.0", "20:00.0"], 6],
    ["skylake", "19:00.0", ["1a:00.0", "81:00.0"], -1],
    ["skylake", "19:00.0", [], -1],
    ["domains", "0000:01:00.0", ["0001:01:00.0", "0003:03:00.0"], -1],
  ];
  for (const [machine, provider, clients, expected] of cases)
    it(`${machine}: ${provider} from ${clients.join(" and ") || "none"} is ${expected ?? "not known"}`, () => {
      const tree = new PciTree(rawTopology(fixture(machine)));
      const [from, ...to] = [provider, ...clients].map((address) => tree.get(parseBdf(address)));
      assert.equal(kernelDistance(tree, from!, to), expected);
    });

  it("one client that cannot outweighs one that is not known to", () => {
    const tree = new PciTree(rawTopology(fixture("skylake", { "cpu ": "cut\ncpu " })));
    const [provider, near, far] = ["19:00.0", "1a:00.0", "81:00.0"].map((address) =>
      tree.get(parseBdf(address)),
    );
    assert.equal(kernelDistance(tree, provider!, [near!]), null);
    assert.equal(kernelDistance(tree, provider!, [near!, far!]), -1);
  });
});

describe("the slowest link between a provider and a client, by hand", () => {
  // Bandwidth in MB/s: GT/s x lanes / 8, of which 80 % up to 5 GT/s, 128/130 up to 32.
  const cases: [string, string, string, string | null][] = [
    ["desktop", "01:00.0", "01:00.0", null],
    ["desktop", "02:00.0", "03:00.0", "0000:03:00.0 3938"], // x4@8 against x4@16
    ["desktop", "01:00.0", "02:00.0", "0000:02:00.0 7877"],
    ["desktop", "02:00.0", "06:00.0", "0000:06:00.0 500"], // x1@5: 8b/10b
    ["desktop", "02:00.0", "00:02.0", "0000:02:00.0 7877"], // integrated: no link of its own
    ["desktop", "00:02.0", "00:00.0", null], // no link at all
    ["desktop", "05:00.0", "01:00.0", null], // a conventional bus has no link to be known
    ["skylake", "19:00.0", "1a:00.0", "0000:1a:00.0 1969"], // x2@8
    ["skylake", "19:00.0", "1b:00.0", "0000:19:00.0 3938"],
    ["skylake", "1b:00.0", "1b:00.1", null], // whether they use their link is not known
    ["skylake", "1e:00.0", "1f:00.0", "0000:1f:00.0 3938"], // equal ones: the client's
    ["skylake", "1b:00.0", "20:00.0", "0000:20:00.0 7877"],
    ["skylake", "1e:00.0", "1b:00.0", "0000:1e:00.0 3938"],
    ["skylake", "65:00.0", "86:00.0", "0000:86:00.0 15754"],
    ["skylake", "65:00.0", "01:00.0", "0000:01:00.0 985"],
    ["cascade", "05:00.0", "07:00.0", "0000:07:00.0 3938"],
    ["cascade", "09:00.0", "0c:00.0", "0000:0c:00.0 15754"],
    ["broadwell", "05:00.0", "06:00.0", "0000:06:00.0 4000"], // x16@2.5: 8b/10b
    ["icelake", "31:00.0", "32:00.0", null],
    ["icelake", "6b:00.1", "31:00.0", "0000:31:00.0 7877"],
    ["sriov", "01:02.0", "05:00.1", "0000:05:00.0 3938"], // the physical function's
    ["sriov", "05:00.1", "06:00.0", "0000:06:00.0 2000"],
    ["domains", "0000:01:00.0", "0001:01:00.0", "0001:01:00.0 15754"],
  ];
  for (const [machine, provider, client, expected] of cases)
    it(`${machine}: ${provider} to ${client} is ${expected ?? "not known, or none"}`, () => {
      const { bottleneck } = pathOf(new PciTree(rawTopology(fixture(machine))), provider, client);
      const text =
        bottleneck && `${bottleneck.link.address} ${Math.round(bottleneck.bandwidth / 1e6)}`;
      assert.equal(text, expected);
    });

  it("goes up to the root ports where redirect sends it there", () => {
    // Below a slow upstream link: direct it does not matter, redirected it does.
    const slow = { "17:00.0 up 10b5:9765 x16@8": "17:00.0 up 10b5:9765 x4@2.5" };
    const bottleneckOf = (but: Record<string, string>): string | undefined =>
      pathOf(new PciTree(rawTopology(fixture("skylake", but))), "19:00.0", "1b:00.0").bottleneck
        ?.link.address;
    assert.equal(bottleneckOf(slow), "0000:19:00.0");
    assert.equal(bottleneckOf({ ...slow, "acs=off": "acs=on" }), "0000:17:00.0");
  });

  it("is known to users who cannot read the registers, up to what they can tell", () => {
    const tree = new PciTree(rawTopology(fixture("haswell", { "cpu ": "cut\ncpu " })));
    assert.equal(pathOf(tree, "01:00.0", "02:00.0").bottleneck?.link.address, "0000:01:00.0");
  });
});
