import assert from "node:assert/strict";
import fc from "fast-check";
import { peerPath, type PeerPath } from "#lib/pci/peer-path.js";
import { PciTree } from "#lib/pci/tree.js";
import { compare } from "../../support/compare-peer-paths.js";
import {
  ACS_CONTROLS,
  isBridge,
  rawTopology,
  type AcsControl,
  type DescribedFunction,
  type DescribedMachine,
  type Kind,
} from "../../support/topology.js";

/** What a function is made from; `above` chooses the bridge that it hangs from. */
interface Seed {
  above: number;
  kind: number;
  device: number;
  acs: readonly AcsControl[] | null;
  egress: readonly number[];
  link: { width: number; speed: number } | null;
  isVirtual: boolean;
}

const seed: fc.Arbitrary<Seed> = fc.record({
  above: fc.nat(),
  kind: fc.nat(),
  device: fc.integer({ min: 0, max: 3 }),
  acs: fc.option(fc.subarray([...ACS_CONTROLS]), { freq: 3 }),
  // Ports' numbers are those of devices up to 3; functions' are eight times that, and some are beyond 31.
  egress: fc.subarray([0, 1, 2, 3, 4, 8, 9, 10, 16, 17, 18, 24, 25, 26, 31]),
  link: fc.option(
    fc.record({
      width: fc.constantFrom(1, 2, 4, 8, 16),
      speed: fc.constantFrom(2.5, 5, 8, 16, 32, 64),
    }),
    { freq: 10 },
  ),
  isVirtual: fc.boolean(),
});

const IDS: readonly (readonly [number, number])[] = [
  [0x8086, 0x09a2],
  [0x8086, 0x2030],
  [0x8086, 0x2f00],
  [0x8086, 0x6f00],
  [0x1ae0, 0x0001],
  [0x1022, 0x1480],
];

const BELOW: Readonly<Record<string, readonly Kind[]>> = {
  "": ["root", "root", "root", "integrated"],
  root: ["endpoint", "up", "up", "pci-bridge"],
  up: ["down"],
  down: ["endpoint", "endpoint", "up"],
  "pci-bridge": ["conventional"],
};

/** Machines of up to 20 functions on two host bridges, of kinds that can be where they are. */
const machine: fc.Arbitrary<DescribedMachine> = fc
  .record({
    seeds: fc.array(seed, { minLength: 1, maxLength: 20 }),
    ids: fc.tuple(fc.constantFrom(...IDS), fc.constantFrom(...IDS)),
    within: fc.constantFrom(null, null, "0000:00:1f.0"),
    cpu: fc.constantFrom(
      { vendor: "AuthenticAMD", family: 0x17, model: "" },
      { vendor: "AuthenticAMD", family: 0x15, model: "" },
      { vendor: "GenuineIntel", family: 6, model: "" },
      null,
    ),
    hasIommu: fc.boolean(),
  })
  .map(({ seeds, ids, within, cpu, hasIommu }) => {
    const functions: DescribedFunction[] = [];
    for (const each of seeds) grow(functions, each, ids, within);
    if (within !== null && functions.some((fn) => fn.within !== null))
      functions.push(hostBridgeFunction(within, ids[0]));
    return { cpu, hasIommu, isCut: false, functions };
  });

/** What a host bridge is part of, on the root bus of the other. */
function hostBridgeFunction(
  address: string,
  [vendorId, deviceId]: readonly [number, number],
): DescribedFunction {
  return {
    ...{ address, parent: null, host: "pci0000:00", within: null, kind: "integrated" },
    ...{ vendorId, deviceId, classCode: 0x088000, link: null, acs: null, egress: [], of: null },
  };
}

function grow(
  functions: DescribedFunction[],
  { above, kind, device, acs, egress, link, isVirtual }: Seed,
  ids: readonly (readonly [number, number])[],
  within: string | null,
): void {
  const bridges = [null, ...functions.filter((fn) => isBridge(fn.kind))];
  const parent = bridges[above % bridges.length] ?? null;
  const second = parent === null ? above % 3 === 0 : parent.host === "pci0000:80";
  const kinds = BELOW[parent?.kind ?? ""]!;
  const bus =
    parent === null ? (second ? 0x80 : 0) : functions.indexOf(parent) + (second ? 0x81 : 1);
  const taken = functions.filter(({ address }) => parseInt(address.slice(5, 7), 16) === bus);
  if (taken.length === 8) return;
  // A function number of its own; the device number is drawn.
  const address = `0000:${hex(bus, 2)}:${hex(device, 2)}.${taken.length}`;
  const siblings = taken.filter((fn) => fn.kind === "endpoint" && fn.of === null);
  const [vendorId, deviceId] = ids[second ? 1 : 0]!;
  const made: DescribedFunction = {
    ...{
      address,
      parent: parent?.address ?? null,
      vendorId,
      deviceId,
      classCode: 0x010802,
      acs,
      egress,
      link,
    },
    ...{ host: second ? "pci0000:80" : "pci0000:00", within: second ? within : null },
    ...{ kind: kinds[kind % kinds.length]!, of: null },
  };
  if (made.kind === "conventional") made.acs = made.link = null;
  if (isVirtual && made.kind === "endpoint" && siblings[0]) made.of = siblings[0].address;
  functions.push(made);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

function pathsOf(described: DescribedMachine): PeerPath[] {
  const tree = new PciTree(rawTopology(described));
  return tree.functions.flatMap((provider) =>
    tree.functions.map((client) => peerPath(tree, provider, client)),
  );
}

const isDirect = ({ route, completionRoute }: PeerPath): boolean =>
  [route, completionRoute].every((way) => ["direct", "internal", "unstated"].includes(way));

describe("a provider and a client, on machines drawn at random", () => {
  it("are as the oracle says, whatever can be read", () => {
    fc.assert(
      fc.property(machine, fc.boolean(), (described, isCut) => compare({ ...described, isCut })),
      { numRuns: 500 },
    );
  });

  it("are as far from each other one way as the other", () => {
    fc.assert(
      fc.property(machine, (described) => {
        const paths = pathsOf(described);
        const distances = new Map(
          paths.map(({ provider, client, distance }) => [
            `${provider.address} ${client.address}`,
            distance,
          ]),
        );
        for (const { provider, client, distance } of paths) {
          assert.equal(distance, distances.get(`${client.address} ${provider.address}`));
          assert.equal(distance === 0, provider === client);
        }
      }),
    );
  });

  it("go direct wherever the kernel uses the bus address, though not the other way round", () => {
    let alsoElsewhere = false;
    fc.assert(
      fc.property(machine, (described) => {
        for (const path of pathsOf(described)) {
          if (path.kernel.mapType === "BUS_ADDR") assert.ok(isDirect(path), path.routeReason);
          else if (isDirect(path)) alsoElsewhere = true;
        }
      }),
      { numRuns: 300 },
    );
    assert.ok(alsoElsewhere, "machines with redirect on ports that have no choice were drawn");
  });

  it("lose nothing but bus addresses and direct ways where one more port redirects", () => {
    fc.assert(
      fc.property(machine, fc.nat(), (described, which) => {
        const functions = described.functions.map((fn, index) =>
          index === which % described.functions.length && fn.kind !== "conventional"
            ? { ...fn, acs: [...new Set<AcsControl>([...(fn.acs ?? []), "rr", "cr"])] }
            : fn,
        );
        const before = pathsOf(described);
        pathsOf({ ...described, functions }).forEach((after, index) => {
          const { kernel, route, distance } = before[index]!;
          if (kernel.mapType !== "BUS_ADDR") assert.equal(after.kernel.mapType, kernel.mapType);
          if (route === "root" || route === "internal") assert.equal(after.route, route);
          assert.equal(after.distance, distance);
        });
      }),
      { numRuns: 300 },
    );
  });

  it("are never said to be other than they are where registers could not be read", () => {
    fc.assert(
      fc.property(machine, (described) => {
        const whole = pathsOf(described);
        pathsOf({ ...described, isCut: true }).forEach((cut, index) => {
          const { kernel, vfio, route, completionRoute, bottleneck } = whole[index]!;
          if (cut.kernel.mapType !== "UNKNOWN") assert.equal(cut.kernel.mapType, kernel.mapType);
          if (cut.vfio.mapType !== "UNKNOWN") assert.equal(cut.vfio.mapType, vfio.mapType);
          if (cut.route !== "unknown") assert.equal(cut.route, route);
          if (cut.completionRoute !== "unknown") assert.equal(cut.completionRoute, completionRoute);
          if (cut.bottleneck !== null)
            assert.deepEqual(
              [cut.bottleneck.link.address, cut.bottleneck.bandwidth],
              [bottleneck?.link.address, bottleneck?.bandwidth],
            );
        });
      }),
      { numRuns: 300 },
    );
  });
});
