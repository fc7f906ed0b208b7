import assert from "node:assert/strict";
import type { SampleRunner } from "#lib/bench/measure/sample.js";
import type { BenchPoint } from "#lib/bench/point.js";
import { P2pError } from "#lib/errors.js";
import { parseEndpoint } from "#lib/io/endpoint.js";
import { benchPoint, benchSample } from "../../../support/bench-point.js";
import { fakeRun } from "./fake-run.js";

const ways = (["p2p", "host"] as const).map((path) => benchPoint({ path }));
const NO_PROVIDER = new P2pError("NO_PROVIDER", "nothing that both reach", { hint: "move it" });

/** Of `each`: from one device, to two others. */
function pairsOf(changes: Partial<BenchPoint> = {}): BenchPoint[] {
  return ["0000:04:00.0", "0000:06:00.0"].map((address) =>
    benchPoint({ destination: parseEndpoint(address), isOneOfAll: true, ...changes }),
  );
}

function runner(): SampleRunner {
  return {
    ...{ endpoints: { src: "a", dst: "b" }, footprint: null, verifier: null },
    warmUp: () => Promise.resolve(),
    run: () => Promise.resolve(benchSample()),
  };
}

describe("a point that fails while it runs", () => {
  it("ends alone: what it is compared with takes all of its samples", async () => {
    const { results, failure, log } = await fakeRun(ways, {
      sample: (_point, turn) => {
        if (turn === 2) throw new P2pError("NVME_STATUS", "unrecovered", { hint: "replace it" });
        return {};
      },
    });
    assert.equal(failure, null);
    assert.deepEqual(log, ["p2p", "host", "p2p", "host", "host"]);
    assert.deepEqual(
      results.map(({ samples, incomplete, failed }) => [
        samples.bw_bytes.length,
        incomplete,
        failed,
      ]),
      [
        [1, false, { code: "NVME_STATUS", message: "unrecovered", hint: "replace it" }],
        [3, false, null],
      ],
    );
  });

  it("before its first sample has no figures, and none of them is 0", async () => {
    const { results } = await fakeRun(ways, {
      sample: ({ path }) => {
        if (path === "p2p") throw new P2pError("DEVICE_GONE", "it is gone");
        return {};
      },
    });
    const [gone] = results;
    assert.deepEqual(gone!.failed, { code: "DEVICE_GONE", message: "it is gone", hint: null });
    for (const figure of [gone!.bw_bytes, gone!.iops, gone!.cpu.usr_pct])
      assert.ok(Number.isNaN(figure), String(figure));
    const { host_memory_bytes: host, root_complex_bytes: root, links } = gone!.traffic;
    assert.deepEqual([host, root, links, gone!.lat_ns], [null, null, null, null]);
    assert.equal(gone!.cpu.busy_ns_per_block, null);
    assert.equal(results[1]!.failed, null);
  });

  it("is not waited for: the samples that it does not take are none", async () => {
    const told: string[] = [];
    await fakeRun(ways, {
      sample: (_point, turn) => {
        if (turn === 0) throw new P2pError("TIMEOUT", "too long");
        return {};
      },
      onProgress: ({ sample, samples }) => told.push(`${sample}/${samples}`),
    });
    assert.deepEqual([...new Set(told)], ["0/6", "1/6", "2/4", "3/4", "4/4"]);
  });

  it("ends all where the mistake is p2pmem's own, or in what was typed", async () => {
    for (const error of [
      new P2pError("INTERNAL", "a bug"),
      new TypeError("a bug"),
      new P2pError("BAD_ARGUMENT", "no"),
    ]) {
      const { results, failure } = await fakeRun(ways, {
        sample: () => {
          throw error;
        },
      });
      assert.equal(failure, error);
      assert.deepEqual(results, []);
    }
  });
});

describe("a point that cannot run", () => {
  it("is one that failed, where nobody named its devices, and the others run", async () => {
    const [first, second] = pairsOf();
    for (const points of [
      [{ ...first!, refusal: NO_PROVIDER }, second!],
      [first!, second!],
    ]) {
      const { results } = await fakeRun(points, {
        open: ({ destination, refusal }) =>
          refusal === null && destination === first!.destination
            ? Promise.reject(NO_PROVIDER)
            : Promise.resolve(runner()),
      });
      assert.deepEqual(
        results.map(({ src, dst, failed }) => [src, dst, failed?.code]),
        [
          ["0000:03:00.0/1", "0000:04:00.0/1", "NO_PROVIDER"],
          ["a", "b", undefined],
        ],
      );
    }
  });

  it("ends all before any runs, where somebody named its devices", async () => {
    const points = pairsOf({ isOneOfAll: false });
    const run = fakeRun(points, {
      open: ({ destination }) =>
        destination === points[0]!.destination
          ? Promise.reject(NO_PROVIDER)
          : Promise.resolve({ ...runner(), run: () => assert.fail("it ran") }),
    });
    await assert.rejects(run, { code: "NO_PROVIDER" });
  });

  it("ends all where no pair can run with these parameters, or nothing may be written", async () => {
    const ofAll = [...pairsOf(), ...pairsOf({ bs: 1000 })];
    const opened = (error: P2pError, isRefused: (point: BenchPoint) => boolean) =>
      fakeRun(ofAll, {
        open: (point) => (isRefused(point) ? Promise.reject(error) : Promise.resolve(runner())),
      });
    const unaligned = new P2pError("UNALIGNED", "1000 is no multiple of 512");
    await assert.rejects(
      opened(unaligned, ({ bs }) => bs === 1000),
      { code: "UNALIGNED" },
    );
    const refused = new P2pError("WRITE_NOT_ALLOWED", "no");
    await assert.rejects(
      opened(refused, (point) => point === ofAll[0]),
      { code: "WRITE_NOT_ALLOWED" },
    );
  });

  it("is one that failed where its blocks have no room, and smaller ones have", async () => {
    const refusal = new P2pError("NO_ROOM", "it has 512 KiB");
    const sizes = [4096, 1 << 20].map((bs) => benchPoint({ bs, isOneOfAll: true }));
    const [small, large] = sizes.map((point) => ({
      ...point,
      refusal: point.bs > 4096 ? refusal : null,
    }));
    const { results } = await fakeRun([small!, large!], {});
    assert.deepEqual(
      results.map(({ failed }) => failed?.code),
      [undefined, "NO_ROOM"],
    );
    await assert.rejects(fakeRun([large!], {}), { code: "NO_ROOM" });
  });
});
