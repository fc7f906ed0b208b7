import assert from "node:assert/strict";
import type { BenchProgress } from "#lib/bench/measure/measure.js";
import { P2pError } from "#lib/errors.js";
import { benchPoint, benchSample } from "../../../support/bench-point.js";
import { fakeRun } from "./fake-run.js";

const ways = (["p2p", "host"] as const).map((path) => benchPoint({ path }));

const NOTHING_WRONG = { mismatches: 0, first: null };

describe("measuring", () => {
  it("puts the samples of each point together, in the order of the points", async () => {
    const { results, failure, log } = await fakeRun(ways, {
      sample: ({ path }, turn) => ({ bytes: (path === "p2p" ? 2e9 : 1e9) + turn }),
    });
    assert.equal(failure, null);
    assert.deepEqual(log, ["p2p", "host", "p2p", "host", "p2p", "host"]);
    assert.deepEqual(
      results.map(({ path, bw_bytes, bytes, incomplete }) => [path, bw_bytes, bytes, incomplete]),
      [
        ["p2p", 2e9 + 2, 6e9 + 6, false],
        ["host", 1e9 + 3, 3e9 + 9, false],
      ],
    );
    assert.deepEqual(results[1]!.samples.at_s, [1, 3, 5]);
    assert.deepEqual(results[1]!.samples.bw_bytes, [1e9 + 1, 1e9 + 3, 1e9 + 5]);
  });

  it("samples the limit before each round and after the last", async () => {
    const { results, log } = await fakeRun(
      ways.map((way) => ({ ...way, samples: 2 })),
      {
        limit: true,
      },
    );
    assert.deepEqual(log, ["limit", "p2p", "host", "limit", "p2p", "host", "limit", "closed"]);
    for (const { limit_bw_bytes: limit } of results) assert.equal(limit, 8e6);
  });

  it("warms up each way before the samples, says how long, and counts nothing of it", async () => {
    let now = 0;
    const points = ways.map((way) => ({ ...way, samples: 1 }));
    const { results, log } = await fakeRun(points, {
      clock: () => now,
      warmUp: (log, { path }) => {
        now += path === "p2p" ? 100 : 120;
        return Promise.resolve(void log.push(`warm up ${path}`));
      },
    });
    assert.deepEqual(log, ["warm up p2p", "warm up host", "p2p", "host"]);
    assert.deepEqual(
      results.map(({ warm_up_ns, runtime_ns, samples }) => [warm_up_ns, runtime_ns, samples.at_s]),
      [
        [100e6, 1e9, [0.22]],
        [120e6, 1e9, [0.22]],
      ],
    );
  });

  it("takes no sample of a point that did not get over its warm-up", async () => {
    const { results, failure, log } = await fakeRun(ways, {
      warmUp: (_log, { path }) =>
        path === "p2p"
          ? Promise.reject(new P2pError("DEVICE_GONE", "it is gone"))
          : Promise.resolve(),
    });
    assert.equal(failure, null);
    assert.deepEqual(
      results.map(({ failed, samples }) => [failed?.code, samples.bw_bytes.length]),
      [
        ["DEVICE_GONE", 0],
        [undefined, 3],
      ],
    );
    assert.deepEqual(log, ["host", "host", "host"]);
  });

  it("looks at all points before the first of them runs", async () => {
    let opened = 0;
    const run = fakeRun(ways, {
      open: () => {
        if (++opened === 2) throw new P2pError("BAD_RANGE", "past the end");
        return Promise.resolve({
          ...{ endpoints: { src: null, dst: null }, footprint: null, verifier: null },
          warmUp: () => assert.fail("it ran"),
          run: () => assert.fail("it ran"),
        });
      },
    });
    await assert.rejects(run, { code: "BAD_RANGE" });
  });

  it("keeps what there is when it is interrupted, and says that there is more to it", async () => {
    const abort = new AbortController();
    const { results, failure, log } = await fakeRun(ways, {
      signal: abort.signal,
      sample: (_point, turn) => {
        if (turn === 2) abort.abort(new P2pError("INTERRUPTED", "interrupted"));
        return {};
      },
    });
    assert.equal((failure as P2pError).code, "INTERRUPTED");
    assert.deepEqual(log, ["p2p", "host", "p2p"]);
    assert.deepEqual(
      results.map(({ samples, incomplete }) => [samples.bw_bytes.length, incomplete]),
      [
        [2, true],
        [1, true],
      ],
    );
  });

  it("verifies each sample of each point, and adds up what was found and what that took alone", async () => {
    const points = ways.map((way) => ({ ...way, samples: 2, verify: "pattern" as const }));
    let now = 0;
    const { results, log } = await fakeRun(points, {
      clock: () => now,
      verifier: (log, { path }) => ({
        prepare: () => {
          now += 30;
          return Promise.resolve(void log.push(`prepare ${path}`));
        },
        check: () => {
          now += 12;
          log.push(`check ${path}`);
          const isBad = path === "p2p" && log.filter((each) => each === "check p2p").length === 2;
          const found = isBad ? { mismatches: 2, first: "LBA 8: torn" } : NOTHING_WRONG;
          return Promise.resolve({ mode: "pattern", blocks: 5, ...found });
        },
      }),
    });
    assert.deepEqual(log, [
      ...["prepare p2p", "p2p", "check p2p", "prepare host", "host", "check host"],
      ...["prepare p2p", "p2p", "check p2p", "prepare host", "host", "check host"],
    ]);
    const all = { mode: "pattern", blocks: 10, runtime_ns: 84e6 };
    assert.deepEqual(
      results.map(({ verify }) => verify),
      [
        { ...all, mismatches: 2, first: "sample 2: LBA 8: torn" },
        { ...all, ...NOTHING_WRONG },
      ],
    );
    assert.ok(results.every(({ incomplete }) => !incomplete));
  });

  it("calls a result incomplete whose verification did not come to its end", async () => {
    for (const samples of [1, 2]) {
      let checks = 0;
      const { results } = await fakeRun([benchPoint({ verify: "crc32c", samples })], {
        verifier: () => ({
          prepare: () => Promise.resolve(),
          check: () =>
            ++checks < samples
              ? Promise.resolve({ mode: "crc32c", blocks: 5, ...NOTHING_WRONG })
              : Promise.reject(new P2pError("INTERRUPTED", "interrupted")),
        }),
      });
      assert.equal(results[0]!.incomplete, true);
      assert.equal(results[0]!.verify?.blocks ?? null, samples === 1 ? null : 5);
    }
  });

  it("tells which sample runs, of how many, and what is done for it", async () => {
    const told: BenchProgress[] = [];
    await fakeRun([benchPoint({ samples: 2 })], { onProgress: (progress) => told.push(progress) });
    assert.deepEqual(
      told.map(({ samples, sample, phase, bytes }) => [samples, sample, phase, bytes]),
      [
        [2, 0, "warm-up", 0],
        [2, 1, "measure", 0],
        [2, 1, "measure", 4096],
        [2, 2, "measure", 0],
        [2, 2, "measure", 4096],
      ],
    );
  });
});

describe("a result of several samples", () => {
  it("has sums, means over all, and what is not known of one is not known of all", async () => {
    const { results } = await fakeRun([benchPoint({ samples: 2 })], {
      sample: (_point, turn) => ({
        ...benchSample({}, turn === 0 ? [1000, 1000, 1000] : [5000]),
        runtimeNs: turn === 0 ? 1e9 : 3e9,
        cpu: { userNs: 1e9, systemNs: 0, busyNs: 1e6, deviceNs: turn === 0 ? null : 5 },
      }),
    });
    const [result] = results;
    assert.deepEqual(result!.cpu, {
      ...{ usr_pct: 50, sys_pct: 0, busy_ns_per_block: 1000, device_ns_per_block: null },
    });
    assert.equal(result!.runtime_ns, 4e9);
    assert.deepEqual(result!.samples.cpu, {
      ...{ usr_pct: [100, 100 / 3], sys_pct: [0, 0] },
      ...{ busy_ns_per_block: [1000, 1000], device_ns_per_block: [null, 0.005] },
    });
    assert.equal(result!.lat_ns!.mean, 2000);
    assert.deepEqual(result!.samples.lat_mean_ns, [1000, 5000]);
    assert.deepEqual(Object.keys(result!.lat_ns!.percentile), ["50", "99"]);
    assert.deepEqual(result!.traffic.links, [{ link: "0000:03:00.0", bytes: 8192_000 }]);
    assert.equal(result!.traffic.host_control_bytes, 200);
  });

  it("has the parts of a mixed workload, and of no other", async () => {
    const { reads, writes } = { reads: benchSample().latency, writes: benchSample().latency };
    const { results } = await fakeRun([benchPoint({ rw: "randrw" }), benchPoint({ rw: "read" })], {
      sample: () => ({ reads, writes }),
    });
    assert.deepEqual([results[0]!.read!.ios, results[0]!.rwmixread], [3, 50]);
    assert.deepEqual([results[1]!.read, results[1]!.rwmixread], [null, null]);
  });

  it("has the interval of its median only where samples give one, and says how sure it is", async () => {
    const of = async (samples: number) =>
      (await fakeRun([benchPoint({ samples })], { sample: (_, turn) => ({ bytes: 1e9 + turn }) }))
        .results[0]!.samples;
    assert.deepEqual((await of(1)).bw_bytes_ci, null);
    const five = await of(5);
    assert.deepEqual([five.bw_bytes_ci, five.confidence], [[1e9, 1e9 + 4], 0.9375]);
    assert.ok((await of(9)).confidence >= 0.95);
  });
});
