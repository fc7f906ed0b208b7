import assert from "node:assert/strict";
import { isBdf, parseBdf } from "#lib/pci/bdf.js";
import { distance } from "#lib/pci/distance.js";
import type { PciFunction } from "#lib/pci/function.js";
import { peerPath } from "#lib/pci/peer-path.js";
import { completionRoute, route } from "#lib/pci/route.js";
import { PciTree } from "#lib/pci/tree.js";
import type { RawPciFunction } from "#lib/platform.js";
import { fakeFunction, fakeSwitch, fakeTopology, MEMORY, NONE } from "../../support/fake-pci.js";

const RR = 1 << 2;
const CR = 1 << 3;
const SV = 1 << 0;
const EC = 1 << 5;

function pick(tree: PciTree, ...addresses: string[]): PciFunction[] {
  return addresses.map((address) => tree.get(parseBdf(address)));
}

describe("PCI addresses", () => {
  it("are normalised to domain and lower case", () => {
    assert.equal(parseBdf("0A:1f.7"), "0000:0a:1f.7");
    assert.equal(parseBdf("10000:00:00.0"), "10000:00:00.0");
  });

  it("are the kernel's with their domain, in lower case", () => {
    for (const name of ["0000:03:00.0", "10000:ff:1f.7"]) assert.ok(isBdf(name), name);
    for (const name of ["03:00.0", "0000:0A:00.0", "0000:03:20.0", "0000:03:ff.0", "pci0000:00"])
      assert.ok(!isBdf(name), name);
  });

  for (const bad of ["", "3:00.0", "03:00", "03:20.0", "03:00.8", "0000:03:00.0/1", "nvme0"])
    it(`refuses "${bad}"`, () => {
      assert.throws(() => parseBdf(bad), { code: "BAD_ENDPOINT" });
    });
});

describe("the PCI tree", () => {
  it("links functions to their bridges, whatever the order they come in", () => {
    const tree = new PciTree(fakeTopology(fakeSwitch(0).reverse()));
    const [nvme] = pick(tree, "03:00.0");
    assert.deepEqual(
      nvme?.upstream().map(({ address }) => address),
      ["0000:02:00.0", "0000:01:00.0", "0000:00:01.0"],
    );
    assert.equal(tree.functions[0]?.address, "0000:00:01.0");
  });

  it("names a device that is not there", () => {
    assert.throws(() => new PciTree(fakeTopology([])).get(parseBdf("03:00.0")), {
      code: "UNKNOWN_DEVICE",
      device: "0000:03:00.0",
    });
  });

  it("is no tree where a bridge is missing, below itself, or there twice", () => {
    const bridge = (address: string, parent?: string) =>
      fakeFunction({ address, ...(parent === undefined ? {} : { parent }), isBridge: true });
    const ring = [bridge("0000:00:01.0", "0000:01:00.0"), bridge("0000:01:00.0", "0000:00:01.0")];
    const mistakes: [RegExp, RawPciFunction[]][] = [
      [/00:01\.0, the bridge above 0000:01:00\.0, is missing/, ring.slice(1)],
      [/is a bridge below itself/, ring],
      [
        /0000:00:1f\.0, whose host bridge is above 10000:00:00\.0, is missing/,
        [{ ...fakeFunction({ address: "10000:00:00.0" }), hostBridgeParent: "0000:00:1f.0" }],
      ],
      [/0000:00:01\.0 is there twice/, [bridge("0000:00:01.0"), bridge("00:01.0")]],
    ];
    for (const [message, functions] of mistakes)
      assert.throws(() => new PciTree(fakeTopology(functions)), { code: "BAD_TOPOLOGY", message });
  });

  it("orders functions and host bridges by domain first, as a number", () => {
    const addresses = ["10000:00:02.0", "2000:00:00.0", "0000:80:01.0", "0000:00:1f.0"];
    const tree = new PciTree(
      fakeTopology(
        addresses.map((address) => {
          const hostBridge = `pci${address.slice(0, address.lastIndexOf(":"))}`;
          return { ...fakeFunction({ address }), hostBridge };
        }),
      ),
    );
    assert.deepEqual(
      tree.functions.map(({ address }) => address),
      addresses.reverse(),
    );
    assert.deepEqual(
      tree.hostBridges.map(({ name }) => name),
      ["pci0000:00", "pci0000:80", "pci2000:00", "pci10000:00"],
    );
  });

  it("reads memory BARs with their flags, and leaves out I/O and empty ones", () => {
    const [fn] = new PciTree(
      fakeTopology([
        fakeFunction({
          address: "0000:03:00.0",
          resources: [
            { start: 0xfe000000, size: 0x4000, flags: 0x40200 },
            { start: 0xc000, size: 0x20, flags: 0x40101 },
            { start: 0x4000000000, size: 0x4000000, flags: 0x14220c },
            NONE,
          ],
        }),
      ]),
    ).functions;
    assert.deepEqual(fn?.bars, [
      { index: 0, address: 0xfe000000, size: 0x4000, prefetchable: false, is64: false },
      null,
      { index: 2, address: 0x4000000000, size: 0x4000000, prefetchable: true, is64: true },
      null,
    ]);
  });

  it("lists windows and BARs as bus ranges", () => {
    const tree = new PciTree(
      fakeTopology([
        fakeFunction({
          address: "0000:00:01.0",
          isBridge: true,
          resources: [...Array<typeof NONE>(7).fill(NONE), { start: 0xc0000000, size: 0x100000 }],
        }),
        fakeFunction({ address: "0000:03:00.0", resources: [{ start: 4096, size: 4096 }] }),
      ]),
    );
    assert.deepEqual(tree.busRanges(), [
      { start: 0xc0000000, size: 0x100000 },
      { start: 4096, size: 4096 },
    ]);
    assert.equal(MEMORY, 0x200);
  });
});

describe("distance, as p2pdma counts it", () => {
  const tree = new PciTree(fakeTopology(fakeSwitch(0)));
  const cases: [string, string[], number][] = [
    ["03:00.0", ["03:00.0"], 0],
    ["05:00.0", ["05:00.1"], 2],
    ["05:00.0", ["03:00.0"], 4],
    ["05:00.0", ["03:00.0", "04:00.0"], 8],
    ["03:00.0", ["03:00.0", "04:00.0"], 4],
    // To the root bus: four hops from below the switch, two from a root port.
    ["05:00.0", ["06:00.0"], 6],
  ];
  for (const [provider, clients, expected] of cases)
    it(`${provider} to ${clients.join(" and ")} is ${expected}`, () => {
      const [from, ...to] = pick(tree, provider, ...clients);
      assert.ok(from);
      assert.equal(distance(from, to), expected);
    });
});

describe("the route of a request", () => {
  const between = (acs: number, a: string, b: string, configBytes?: number): string => {
    const [from, to] = pick(new PciTree(fakeTopology(fakeSwitch(acs, configBytes))), a, b);
    assert.ok(from && to);
    return route(from, to);
  };

  it("stays inside one function", () => {
    assert.equal(between(RR, "03:00.0", "03:00.0"), "internal");
  });

  it("is direct below a switch that does not redirect", () => {
    assert.equal(between(0, "03:00.0", "05:00.0"), "direct");
    assert.equal(between(SV, "03:00.0", "05:00.0"), "direct");
  });

  it("climbs to the root with ACS request redirect", () => {
    assert.equal(between(RR, "03:00.0", "05:00.0"), "root");
  });

  it("is not known with ACS egress control whose vector has no bit for the port", () => {
    assert.equal(between(EC, "03:00.0", "05:00.0"), "unknown");
    assert.equal(between(RR | EC, "03:00.0", "05:00.0"), "unknown");
  });

  it("is direct with ACS completion redirect, which only completions obey", () => {
    assert.equal(between(CR, "03:00.0", "05:00.0"), "direct");
    const tree = new PciTree(fakeTopology(fakeSwitch(CR)));
    const [from, to] = pick(tree, "03:00.0", "05:00.0");
    assert.equal(completionRoute(from!, to!), "root");
  });

  it("climbs to the root between root ports", () => {
    assert.equal(between(0, "03:00.0", "06:00.0"), "root");
  });

  it("is not known without extended configuration space, where the kernel finds no ACS either", () => {
    const tree = new PciTree(fakeTopology(fakeSwitch(RR, 256)));
    const [provider, client] = pick(tree, "03:00.0", "05:00.0");
    const { kernel, vfio } = peerPath(tree, provider!, client!);
    assert.deepEqual([kernel.mapType, vfio.mapType], ["BUS_ADDR", "UNKNOWN"]);
    assert.match(kernel.reason, /nothing up to there redirects/);
  });

  it("is not known for a reason that can be mended, or not", () => {
    const reason = (change: (config: Uint8Array) => Uint8Array): string => {
      const raw = fakeSwitch(RR).map((fn) => ({ ...fn, config: change(fn.config.slice()) }));
      const tree = new PciTree(fakeTopology(raw));
      const [provider, client] = pick(tree, "03:00.0", "04:00.0");
      return peerPath(tree, provider!, client!).routeReason;
    };
    assert.match(
      reason((config) => config.subarray(0, 64)),
      /cut short \(run as root\)/,
    );
    assert.match(
      reason((config) => config.subarray(0, 256)),
      /out of reach here \(no MMCONFIG\)/,
    );
    assert.match(
      reason((config) => config.fill(0xff, 256)),
      /extended configuration space does not answer/,
    );
    assert.match(
      reason((config) => config.fill(0xff)),
      /: it does not answer/,
    );
  });

  it("is not made up where the ACS registers cannot be read", () => {
    assert.equal(between(0, "03:00.0", "05:00.0", 64), "unknown");
    assert.equal(between(0, "03:00.0", "05:00.0", 256), "unknown");
  });
});
