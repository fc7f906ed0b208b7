import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { byDistance, findProvider, type Candidate } from "#lib/p2pmem/find.js";
import { parseBdf, type Bdf } from "#lib/pci/bdf.js";
import type { MapType, PeerPath } from "#lib/pci/peer-path.js";

const CLIENTS = [parseBdf("03:00.0"), parseBdf("04:00.0"), parseBdf("06:00.0")];
const [NVME0, NVME1] = CLIENTS as [Bdf, Bdf];

interface Facts {
  name: string;
  /** For each of CLIENTS. */
  distances: number[];
  mapTypes: MapType[];
  largestFree: number;
  isPublished: boolean;
  isRevoked: boolean;
  dataRefusal?: string;
}

function candidate(facts: Facts): Candidate {
  const { name, isPublished, isRevoked, largestFree } = facts;
  return {
    name,
    isPublished,
    revoked: isRevoked ? new P2pError("REVOKED", `${name} was revoked: a test`) : null,
    pool: { largestFree },
    dataRefusal: facts.dataRefusal ?? null,
    pathTo: (client) => {
      const at = CLIENTS.indexOf(client);
      const mapType = facts.mapTypes[at]!;
      const vfio = { mapType, reason: `${client} is too far from ${name}`, needsProof: false };
      return { distance: facts.distances[at], vfio } as unknown as PeerPath;
    },
  };
}

function plain(name: string, distance: number, rest: Partial<Facts> = {}): Candidate {
  return candidate({
    name,
    distances: [distance, distance, distance],
    mapTypes: ["BUS_ADDR", "BUS_ADDR", "BUS_ADDR"],
    largestFree: 4096,
    isPublished: true,
    isRevoked: false,
    ...rest,
  });
}

describe("findProvider", () => {
  it("takes the closest to all clients together", () => {
    const near = plain("near", 0, { distances: [0, 8, 0] });
    const between = plain("between", 0, { distances: [4, 2, 99] });
    assert.equal(findProvider([near, between], [NVME0, NVME1], 1), between);
    assert.equal(findProvider([near, between], [NVME0], 1), near);
  });

  it("takes UNKNOWN as it takes what is known to work", () => {
    const unknown = plain("unknown", 2, { mapTypes: ["UNKNOWN", "UNKNOWN", "UNKNOWN"] });
    assert.equal(findProvider([plain("far", 4), unknown], [NVME0], 1), unknown);
  });

  it("says of each that does not suit why", () => {
    const mapTypes: MapType[] = ["BUS_ADDR", "NOT_SUPPORTED", "BUS_ADDR"];
    const all = [
      plain("far", 2, { mapTypes }),
      plain("full", 2, { largestFree: 4096 }),
      plain("hidden", 2, { isPublished: false }),
      plain("gone", 2, { isRevoked: true, isPublished: false }),
      plain("queues", 2, { dataRefusal: "it is not for data" }),
    ];
    assert.throws(
      () => findProvider(all, [NVME0, NVME1], 8192),
      (error: unknown) => {
        assert.ok(error instanceof P2pError);
        assert.equal(error.code, "NO_PROVIDER");
        assert.equal(
          error.message,
          "nobody has 8 KiB of memory that 0000:03:00.0 and 0000:04:00.0 can reach: " +
            "far: 0000:04:00.0 is too far from far; " +
            "full: it has 4 KiB free in one piece, not 8 KiB; " +
            "hidden: it is not published; gone: gone was revoked: a test; " +
            "queues: it is not for data",
        );
        return true;
      },
    );
    assert.throws(() => findProvider([], [NVME0], 1), { message: /no device provides any$/ });
  });

  it("wants clients and a size", () => {
    assert.throws(() => findProvider([plain("a", 0)], [], 1), { code: "BAD_ARGUMENT" });
    for (const size of [0, -1, 0.5, NaN])
      assert.throws(() => findProvider([plain("a", 0)], [NVME0], size), { code: "BAD_ARGUMENT" });
  });

  it("takes every one of those that are equally close, over many seeds; the same for the same", () => {
    const all = [plain("a", 4), plain("b", 4), plain("far", 6), plain("c", 4)];
    const pick = (seed: number): string => findProvider(all, [NVME0], 1, { seed }).name;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 3000; seed++) {
      counts.set(pick(seed), (counts.get(pick(seed)) ?? 0) + 1);
      assert.equal(pick(seed), pick(seed));
    }
    assert.deepEqual([...counts.keys()].sort(), ["a", "b", "c"]);
    // Each is expected 1000 times, with a standard deviation of 26; the seeds are fixed.
    for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 130, `${count}`);
  });

  it("agrees with a search through everything", () => {
    const mapType = fc.constantFrom<MapType[]>(
      ...(["BUS_ADDR", "THROUGH_HOST_BRIDGE", "UNKNOWN", "NOT_SUPPORTED"] as const),
    );
    const facts = fc.record({
      distances: fc.array(fc.nat(5), { minLength: 3, maxLength: 3 }),
      mapTypes: fc.array(mapType, { minLength: 3, maxLength: 3 }),
      largestFree: fc.nat(6),
      isPublished: fc.boolean(),
      isRevoked: fc.boolean(),
    });
    const clients = fc.subarray([0, 1, 2], { minLength: 1 });
    fc.assert(
      fc.property(
        fc.array(facts, { maxLength: 8 }),
        clients,
        fc.integer({ min: 1, max: 5 }),
        fc.integer(),
        (list, wanted, size, seed) => {
          let least = Infinity;
          const best = new Set<number>();
          for (const [i, { distances, mapTypes, ...rest }] of list.entries()) {
            if (rest.isRevoked || !rest.isPublished || rest.largestFree < size) continue;
            if (wanted.some((client) => mapTypes[client] === "NOT_SUPPORTED")) continue;
            let distance = 0;
            for (const client of wanted) distance += distances[client]!;
            if (distance < least) best.clear();
            least = Math.min(least, distance);
            if (distance === least) best.add(i);
          }
          const providers = list.map((one, i) => candidate({ ...one, name: String(i) }));
          const find = (): Candidate =>
            findProvider(
              providers,
              wanted.map((client) => CLIENTS[client]!),
              size,
              { seed },
            );
          if (best.size === 0) assert.throws(find, { code: "NO_PROVIDER" });
          else assert.ok(best.has(Number(find().name)));
        },
      ),
    );
  });
});

describe("Candidates by distance", () => {
  it("are all there, closest first, and differ between runs among equals alone", () => {
    const items = fc.array(fc.record({ distance: fc.nat(3) }), { maxLength: 20 });
    fc.assert(
      fc.property(items, (list) => {
        const sorted = byDistance(list);
        assert.deepEqual(new Set(sorted), new Set(list));
        assert.equal(sorted.length, list.length);
        for (let i = 1; i < sorted.length; i++)
          assert.ok(sorted[i - 1]!.distance <= sorted[i]!.distance);
      }),
    );
  });
});
