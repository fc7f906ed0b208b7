import assert from "node:assert/strict";
import { refusalOf } from "#lib/rdma-perf/on-demand.js";

describe("A test of on-demand memory that a device moves wrongly", () => {
  type Test = readonly ["bw" | "lat", size: number, mtu: number, isRightAtPages: boolean];
  const refused = (...[measure, size, mtu, isRightAtPages]: Test) =>
    refusalOf({ measure, sizes: [size] }, "rxe0", mtu, { reason: "it moves", isRightAtPages });

  it("is run where each packet begins at a page, and that is right", () => {
    for (const [measure, size] of [
      ["bw", 2049],
      ["bw", 65_536],
      ["lat", 2],
      ["lat", 8192],
    ] as const) {
      assert.equal(refused(measure, size, 4096, true), null);
      assert.equal(refused(measure, size, 4096, false)?.code, "NO_ODP");
    }
  });

  const HINTS: [string, Test, string][] = [
    [
      "larger messages, where those are right",
      ["bw", 2048, 4096, true],
      "use pinned memory (--mr host), or messages of more than 2k (-s 4k)",
    ],
    [
      "the MTU that packets need to begin at pages",
      ["lat", 8192, 1024, false],
      "use pinned memory (--mr host); or, where the ports have it, an MTU of 4096 (-m 4096)",
    ],
    [
      "that MTU and larger messages",
      ["bw", 65_536, 1024, false],
      "use pinned memory (--mr host); or, where the ports have it, an MTU of 4096 (-m 4096) and messages of more than 2k",
    ],
    [
      "other memory alone, where none are right",
      ["bw", 65_536, 4096, false],
      "use pinned memory (--mr host)",
    ],
  ];
  for (const [what, of, hint] of HINTS)
    it(`is refused, with a hint at ${what}`, () => {
      assert.equal(refused(...of)?.hint, hint);
    });
});
