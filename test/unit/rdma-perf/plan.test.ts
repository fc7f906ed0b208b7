import assert from "node:assert/strict";
import { layoutOf } from "#lib/rdma-perf/layout.js";
import {
  ALL_SIZES,
  checkPlan,
  defaultsOf,
  depthsOf,
  inlineBytesOf,
  warmUpOf,
  type RdmaPerfPlan,
} from "#lib/rdma-perf/plan.js";
import { yieldAfterOf } from "#lib/rdma-perf/yielding.js";

describe("the plan of an RDMA test", () => {
  const bandwidth = defaultsOf("write", "bw");

  it("has perftest's defaults", () => {
    const ofAll = (["write", "read", "send"] as const).flatMap((verb) =>
      (["bw", "lat"] as const).map((measure) => {
        const { sizes, iterations, txDepth, rxDepth } = defaultsOf(verb, measure);
        return [verb, measure, sizes[0], iterations, txDepth, rxDepth];
      }),
    );
    assert.deepEqual(ofAll, [
      ["write", "bw", 65536, 5000, 128, 1],
      ["write", "lat", 2, 1000, 1, 1],
      ["read", "bw", 65536, 1000, 128, 1],
      ["read", "lat", 2, 1000, 1, 1],
      ["send", "bw", 65536, 1000, 128, 512],
      ["send", "lat", 2, 1000, 1, 512],
    ]);
    assert.deepEqual([ALL_SIZES.length, ALL_SIZES[0], ALL_SIZES.at(-1)], [23, 2, 2 ** 23]);
  });

  it("asks for a completion of each hundredth of small requests, and of each large one", () => {
    const moderation = (changes: Partial<RdmaPerfPlan>, size: number): number =>
      depthsOf({ ...bandwidth, ...changes }, size).cqMod;
    assert.equal(moderation({}, 8192), 100);
    assert.equal(moderation({}, 8193), 1);
    assert.equal(moderation({ cqMod: 7 }, 2 ** 20), 7);
    assert.equal(moderation({ txDepth: 16 }, 64), 16, "no more than are in flight");
    assert.equal(moderation({ iterations: 5 }, 64), 5);
    assert.equal(moderation({ iterations: null, duration: 1 }, 64), 100);
    assert.deepEqual(depthsOf({ ...defaultsOf("send", "bw"), iterations: 200 }, 64), {
      ...{ sends: 128, receives: 200, cqMod: 100 },
    });
  });

  it("warms up with no more than a short test takes, nor gigabytes", () => {
    const warmUp = (measure: "bw" | "lat", iterations: number | null, size: number): number =>
      warmUpOf({ ...defaultsOf("write", measure), iterations }, size);
    assert.deepEqual(
      [5000, 50_000, null].map((iterations) => warmUp("bw", iterations, 4096)),
      [5000, 20_000, 0],
    );
    assert.equal(warmUp("bw", 5000, 2 ** 20), 256);
    assert.deepEqual(
      [5, 1000, 50_000, null].map((iterations) => warmUp("lat", iterations, 2 ** 20)),
      [50, 10_000, 20_000, 0],
    );
  });

  it("sends small messages of latency tests inline, unless told otherwise", () => {
    assert.equal(inlineBytesOf(defaultsOf("write", "lat"), true), 220);
    assert.equal(inlineBytesOf(defaultsOf("send", "lat"), true), 236);
    assert.equal(inlineBytesOf(defaultsOf("send", "lat"), false), 0, "the CPU leaves a BAR alone");
    assert.equal(inlineBytesOf(defaultsOf("write", "bw"), true), 0);
    for (const isHost of [true, false]) {
      assert.equal(inlineBytesOf({ ...bandwidth, inlineBytes: 64 }, isHost), 64);
      assert.equal(inlineBytesOf({ ...defaultsOf("read", "lat"), inlineBytes: 64 }, isHost), 0);
    }
  });

  it("has both halves of each lane's memory by itself", () => {
    const layout = layoutOf({ ...bandwidth, sizes: [2, 5000], queuePairs: 2 });
    assert.equal(layout.stride, 8192);
    assert.equal(layout.bytes, 4 * 8192);
    const offsets = [0, 1].flatMap((lane) => [layout.sendOffset(lane), layout.receiveOffset(lane)]);
    assert.deepEqual(offsets, [0, 16384, 8192, 24576]);
  });

  it("takes what perftest takes, and nothing beyond", () => {
    const refused: [Partial<RdmaPerfPlan>, RegExp][] = [
      [{ iterations: 4 }, /iterations is 5 to/],
      [{ sizes: [0] }, /size of a message is 1 to/],
      [{ sizes: [2 ** 31] }, /size of a message/],
      [{ queuePairs: 0 }, /queue pairs/],
      [{ txDepth: 15_001 }, /send queue's depth is 1 to 15000/],
      [{ rxDepth: 0 }, /receive queue's depth/],
      [{ cqMod: 1025 }, /moderation is 1 to 1024/],
      [{ mtu: 1500 }, /MTU is 256, 512/],
      [{ sizes: ALL_SIZES, iterations: null, duration: 5 }, /all sizes/],
      [{ measure: "lat", queuePairs: 2 }, /one queue pair/],
    ];
    for (const [changes, message] of refused)
      assert.throws(
        () => {
          checkPlan({ ...bandwidth, ...changes });
        },
        { code: "BAD_ARGUMENT", message },
      );
    checkPlan({ ...bandwidth, iterations: 5, sizes: ALL_SIZES, queuePairs: 16_384, mtu: 4096 });
  });
});

describe("the yields of an RDMA test's loop", () => {
  it("are for the threads that a device without hardware is made of", () => {
    const ofAll = [true, false].flatMap((isLoopback) =>
      [true, false].flatMap((isSoft) =>
        (["bw", "lat"] as const).flatMap((measure) =>
          [1, 16].map((packets) => yieldAfterOf({ isLoopback, isSoft }, { measure, packets })),
        ),
      ),
    );
    const onLoopback = Array<number>(8).fill(0);
    assert.deepEqual(ofAll, [...onLoopback, 8192, 8192, 8192, 0, 8192, 8192, 8192, 8192]);
  });
});
