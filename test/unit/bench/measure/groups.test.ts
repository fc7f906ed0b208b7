import assert from "node:assert/strict";
import fc from "fast-check";
import { P2pError } from "#lib/errors.js";
import { groupsOf, turnsOf } from "#lib/bench/measure/groups.js";
import type { BenchPoint } from "#lib/bench/point.js";
import { benchPoint } from "../../../support/bench-point.js";

const order = (points: readonly BenchPoint[]): string[] =>
  groupsOf(points).flatMap((group) =>
    [...turnsOf(group)].map(({ point, sample }) => `${point.path} ${point.bs} #${sample}`),
  );

describe("order of a benchmark's samples", () => {
  it("lets the ways take turns: A B C A B C", () => {
    const points = (["p2p", "host", "cpu"] as const).map((path) =>
      benchPoint({ path, samples: 2 }),
    );
    assert.deepEqual(order(points), [
      "p2p 4096 #0",
      "host 4096 #0",
      "cpu 4096 #0",
      "p2p 4096 #1",
      "host 4096 #1",
      "cpu 4096 #1",
    ]);
  });

  it("brings together what one compares, wherever it stands in the list", () => {
    const points = (["p2p", "host"] as const).flatMap((path) =>
      [4096, 8192].map((bs) => benchPoint({ path, bs, samples: 1 })),
    );
    assert.deepEqual(order(points), ["p2p 4096 #0", "host 4096 #0", "p2p 8192 #0", "host 8192 #0"]);
  });

  it("lets providers and kinds of registration take turns, too", () => {
    const points = [
      benchPoint({ provider: "0000:05:00.0/bar2" }),
      benchPoint({ provider: "0000:03:00.0/cmb" }),
      benchPoint({ provider: "0000:03:00.0/cmb", registration: "each" }),
    ];
    assert.equal(groupsOf(points).length, 1);
  });

  it("lets a way that was named take turns with those that were all there are, and with refused ones", () => {
    const points = [
      benchPoint({ provider: "0000:05:00.0/bar2", isOneOfAll: true }),
      benchPoint({ path: "host", provider: null, isOneOfAll: false }),
      benchPoint({ provider: null, isOneOfAll: true, refusal: new P2pError("NO_ROOM", "full") }),
    ];
    assert.equal(groupsOf(points).length, 1);
  });

  it("keeps apart what differs in anything else", () => {
    for (const change of [
      { job: "other" },
      { iodepth: 9 },
      { numjobs: 2 },
      { rw: "read" },
      { rateIops: 10 },
      { samples: 4 },
    ] as const)
      assert.equal(groupsOf([benchPoint(), benchPoint(change)]).length, 2);
  });

  it("takes the kernel's paths in a pass of their own, at the end", () => {
    const points = (["kernel-p2p", "p2p", "kernel-host", "host"] as const).map((path) =>
      benchPoint({ path, samples: 1 }),
    );
    assert.deepEqual(order(points), [
      ...["p2p 4096 #0", "host 4096 #0"],
      ...["kernel-p2p 4096 #0", "kernel-host 4096 #0"],
    ]);
  });

  it("loses no sample and takes none twice", () => {
    const points = fc.array(
      fc
        .record({
          path: fc.constantFrom("p2p" as const, "host" as const, "kernel-host" as const),
          bs: fc.constantFrom(4096, 8192),
          samples: fc.integer({ min: 1, max: 4 }),
        })
        .map((changes) => benchPoint(changes)),
    );
    fc.assert(
      fc.property(points, (all) => {
        const turns = groupsOf(all).flatMap((group) => [...turnsOf(group)]);
        for (const point of all) {
          const own = turns.filter((turn) => turn.point === point).map(({ sample }) => sample);
          assert.deepEqual(own, [...Array(point.samples).keys()]);
        }
        assert.equal(
          turns.length,
          all.reduce((sum, { samples }) => sum + samples, 0),
        );
      }),
    );
  });
});
