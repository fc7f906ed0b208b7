import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareReports,
  type Comparison,
  type ResultComparison,
} from "#lib/bench/compare/compare.js";
import { compareMetric } from "#lib/bench/compare/metric.js";
import type { BenchReport, BenchResult } from "#lib/bench/report.js";
import { randomNumbers } from "#lib/stats/random-numbers.js";
import { failedResult } from "../../../support/bench-report.js";
import { benchReport, benchResult } from "../../../support/loopback-report.js";

/** A result whose samples scatter by a percent around this many times the usual. */
function scaled(factor: number, changes: Partial<BenchResult> = {}): BenchResult {
  const { samples } = benchResult();
  const scatter = [-0.01, -0.004, 0, 0.002, 0.005, 0.01];
  return benchResult({
    samples: {
      ...samples,
      at_s: scatter.map((_, index) => index),
      bw_bytes: scatter.map((part) => 1e9 * factor * (1 + part)),
      iops: scatter.map((part) => 1e5 * factor * (1 + part)),
      lat_mean_ns: scatter.map((part) => (2500 / factor) * (1 + part)),
    },
    ...changes,
  });
}

function compared(
  old: BenchResult[],
  now: BenchResult[],
  { tolerance = 0.05, ...changes }: Partial<BenchReport> & { tolerance?: number } = {},
): Comparison {
  return compareReports(
    { file: "old.json", report: benchReport({ results: old }) },
    { file: "new.json", report: benchReport({ results: now, ...changes }) },
    tolerance,
  );
}

describe("comparing two reports", () => {
  it("finds the same within noise, with every ratio at 1", () => {
    const { verdict, results, warnings } = compared([scaled(1)], [scaled(1)]);
    assert.equal(verdict, "not worse");
    assert.equal(results[0]!.verdict, "within noise");
    for (const metric of Object.values(results[0]!.metrics!)) assert.equal(metric.ratio, 1);
    assert.deepEqual(warnings, []);
  });

  it("knows for each figure which way is better", () => {
    const faster = compared([scaled(1)], [scaled(1.2)]).results[0]!;
    assert.equal(faster.verdict, "better");
    const { bw_bytes, iops, lat_mean_ns, cpu_busy_ns_per_block } = faster.metrics!;
    assert.deepEqual(
      [bw_bytes, iops, lat_mean_ns].map(({ verdict }) => verdict),
      ["better", "better", "better"],
    );
    assert.ok(Math.abs(bw_bytes.ratio! - 1.2) < 1e-9);
    assert.ok(Math.abs(lat_mean_ns.ratio! - 1 / 1.2) < 1e-9);
    const { ratio, verdict } = cpu_busy_ns_per_block;
    assert.deepEqual([ratio, verdict], [1, "within noise"]);
    const slower = compared([scaled(1)], [scaled(0.8)]);
    assert.equal(slower.verdict, "worse");
    assert.deepEqual(slower.results[0]!.worse, [
      "bw_bytes by more than 5 %",
      "iops by more than 5 %",
      "lat_mean_ns by more than 5 %",
    ]);
  });

  it("judges CPU time by its samples, with the tolerance", () => {
    const dearer = (ns: (number | null)[]): BenchResult => {
      const result = scaled(1);
      result.samples = {
        ...result.samples,
        cpu: { ...result.samples.cpu, busy_ns_per_block: ns },
      };
      return result;
    };
    const { results } = compared([scaled(1)], [dearer([180, 179, 181, 180, 180])]);
    const { ratio, ratio_ci: bounds, verdict } = results[0]!.metrics!.cpu_busy_ns_per_block;
    assert.deepEqual([ratio, verdict], [1.2, "worse"]);
    assert.ok(bounds![0] > 1.15 && bounds![1] < 1.25);
    assert.deepEqual(results[0]!.worse, ["cpu_busy_ns_per_block by more than 5 %"]);
    const slightly = compared([scaled(1)], [dearer([154, 154, 154, 155, 154])]).results[0]!;
    assert.deepEqual([slightly.verdict, slightly.worse], ["slightly worse", []]);
    const unknown = compared([scaled(1)], [dearer([null, null, null, null, null])]).results[0]!;
    assert.deepEqual(unknown.metrics!.cpu_busy_ns_per_block, {
      ...{ old: 150, new: null, ratio: null, ratio_ci: null },
      ...{ verdict: "unknown", beyond_tolerance: false },
    });
  });

  it("is worse only where the whole interval is beyond the tolerance", () => {
    // The interval of the ratio is about 0.93 to 0.95.
    const verdictAt = (tolerance: number): string =>
      compared([scaled(1)], [scaled(0.94)], { tolerance }).results[0]!.verdict;
    assert.equal(verdictAt(0), "worse");
    assert.equal(verdictAt(0.03), "worse");
    assert.equal(verdictAt(0.06), "slightly worse");
    assert.equal(verdictAt(0.5), "slightly worse");
    assert.equal(compared([scaled(1)], [scaled(0.94)], { tolerance: 0.1 }).verdict, "not worse");
  });

  it("says mixed where one figure gains what another loses", () => {
    const now = scaled(1.2);
    now.samples.lat_mean_ns = scaled(0.97).samples.lat_mean_ns;
    assert.equal(compared([scaled(1)], [now]).results[0]!.verdict, "mixed");
  });

  it("has no verdict without samples enough", () => {
    const few = (factor: number, count: number): BenchResult => {
      const result = scaled(factor);
      for (const name of ["bw_bytes", "iops", "lat_mean_ns"] as const)
        result.samples[name] = result.samples[name].slice(0, count);
      const { cpu } = result.samples;
      const busy = cpu.busy_ns_per_block.slice(0, count);
      result.samples.cpu = { ...cpu, busy_ns_per_block: busy };
      return result;
    };
    const two = compared([few(1, 2)], [few(0.5, 2)]);
    assert.equal(two.verdict, "unknown", "nothing says that nothing is worse");
    const judged = scaled(1, { iodepth: 1 });
    assert.equal(compared([few(1, 2), judged], [few(0.5, 2), judged]).verdict, "not worse");
    assert.equal(two.results[0]!.verdict, "unknown");
    assert.ok(Math.abs(two.results[0]!.metrics!.bw_bytes.ratio! - 0.5) < 1e-9);
    assert.match(two.warnings.join(), /2 samples/);
    assert.equal(compared([few(1, 3)], [few(0.5, 3)]).verdict, "worse");
    const none = compared([few(1, 0)], [few(1, 0)]).results[0]!.metrics!.bw_bytes;
    assert.deepEqual([none.old, none.new, none.ratio, none.ratio_ci], [null, null, null, null]);
  });

  it("is worse where a result failed that did not before, and judges none whose old one failed", () => {
    const failed = { code: "DEVICE_GONE", message: "it is gone", hint: null };
    const gone = benchResult({ failed });
    const { verdict, results } = compared([scaled(1)], [gone]);
    assert.deepEqual(
      [verdict, results[0]!.verdict, results[0]!.worse, results[0]!.metrics],
      ["worse", "failed", ["it failed: DEVICE_GONE: it is gone"], null],
    );
    const nothing = failedResult();
    assert.equal(compared([nothing], [nothing]).verdict, "unknown");
    assert.equal(compared([], [scaled(1)]).verdict, "unknown");
    assert.equal(compared([], []).verdict, "unknown");
    // The samples that they took before they failed are of no use.
    const partial = scaled(1, { failed });
    for (const [now, expected] of [
      [scaled(0.5, { failed }), "both failed"],
      [scaled(0.5), "old failed"],
    ] as const) {
      const { verdict, results } = compared([partial], [now]);
      const [{ verdict: judged, metrics, worse }] = results as [ResultComparison];
      assert.deepEqual([verdict, judged, metrics, worse], ["unknown", expected, null, []]);
    }
    const mismatches = { mode: "memcmp", blocks: 9, mismatches: 1, first: null, runtime_ns: 1 };
    const wrong = scaled(1, { verify: mismatches as BenchResult["verify"] });
    assert.equal(compared([partial], [wrong]).results[0]!.verdict, "wrong data");
  });

  it("matches by job, path, provider, endpoints and all parameters that results show", () => {
    const others: Partial<BenchResult>[] = [
      ...[
        { job: "other" },
        { path: "host" as const },
        { provider: null },
        { src: "x" },
        { dst: "x" },
      ],
      ...[{ bs: 512 }, { iodepth: 1 }, { numjobs: 2 }, { rwmixread: 1 }, { rw: "read" as const }],
      { registration: "each" },
    ];
    for (const changes of others) {
      const { verdict, results } = compared([scaled(1)], [scaled(1, changes)]);
      assert.deepEqual(
        results.map((result) => result.verdict),
        ["missing", "added"],
        JSON.stringify(changes),
      );
      assert.equal(verdict, "worse");
    }
    const added = compared([scaled(1)], [scaled(1), scaled(1, { bs: 512 })]);
    assert.equal(added.verdict, "not worse");
    // A sweep over what results do not show: the n-th with the n-th.
    const twice = compared([scaled(1), scaled(2)], [scaled(1), scaled(1)]);
    assert.deepEqual(
      twice.results.map(({ verdict, point }) => [point, verdict]),
      [
        ["bs=4k iodepth=8", "within noise"],
        ["bs=4k iodepth=8 #2", "worse"],
      ],
    );
  });

  it("is worse where data is not right that was, or more of it", () => {
    const verified = (mismatches: number): BenchResult =>
      scaled(1, {
        verify: { mode: "crc32c", blocks: 100, mismatches, first: null, runtime_ns: 1 },
      });
    const verdicts = (old: BenchResult, now: BenchResult): string =>
      compared([old], [now]).results[0]!.verdict;
    assert.equal(verdicts(verified(0), verified(1)), "wrong data");
    assert.equal(verdicts(scaled(1), verified(1)), "wrong data");
    assert.equal(verdicts(verified(1), verified(2)), "wrong data");
    assert.equal(verdicts(verified(1), verified(0)), "within noise");
    assert.equal(verdicts(verified(0), verified(0)), "within noise");
  });

  it("warns where results that it compares were not measured alike", () => {
    const verify = {
      mode: "crc32c",
      blocks: 9,
      mismatches: 0,
      first: null,
      runtime_ns: 1,
    } as const;
    const small = scaled(1, { size: 65536, randseed: 1, verify });
    const large = scaled(1, { size: 100 * 2 ** 20, randseed: 2 });
    const deep = { iodepth: 64 };
    assert.deepEqual(
      compared([small, { ...small, ...deep }], [large, { ...small, ...deep }]).warnings,
      [
        "not measured alike: 1 result in size: 64k, now 100m",
        "not measured alike: 1 result in randseed: 1, now 2",
        "not measured alike: 1 result in verify: crc32c, now none: its data may be wrong",
      ],
    );
    const failed = { code: "DEVICE_GONE", message: "it is gone", hint: null };
    assert.doesNotMatch(compared([small], [{ ...large, failed }]).warnings.join(), /alike/);
  });

  it("warns of machines that differ, other versions, interrupted runs, and what each run says", () => {
    const { machine } = benchReport();
    const device = {
      ...{ address: "0000:03:00.0", role: "source", parent: null, name: "A disk 1.0" },
      ...{ driver: null, iommu_group: 1, numa_node: 0, link: { gts: 16, width: 4 } },
    };
    const old = benchReport({ results: [scaled(1)], machine: { ...machine, devices: [device] } });
    const now = benchReport({
      results: [scaled(1)],
      incomplete: true,
      version: "2.0.0",
      machine: {
        ...{ ...machine, kernel: "7.0.0", iommu: null },
        devices: [{ ...device, name: "A disk 1.1", link: { gts: 8, width: 4 } }],
      },
      warnings: ["steal took 9 %"],
    });
    const { warnings } = compareReports(
      { file: "a", report: old },
      { file: "b", report: now },
      0.05,
    );
    assert.deepEqual(warnings, [
      "the machines differ in kernel: 6.12.0, now 7.0.0",
      "the machines differ in IOMMU: translated, now unknown",
      "the machines differ in 0000:03:00.0: A disk 1.0, now A disk 1.1",
      "the machines differ in the link of 0000:03:00.0: 16 GT/s x4, now 8 GT/s x4",
      "measured by different versions of p2pmem: 1.2.3, now 2.0.0",
      "the new run ended early: it has less samples, or less results",
      "new run: steal took 9 %",
    ]);
  });
});

describe("the interval of a ratio", () => {
  /** Of two runs whose true medians are in this ratio, with noise of 3 %. */
  function drawn(ratio: number, count: number, seed: number): [BenchResult, BenchResult] {
    const random = randomNumbers(seed);
    const normal = (): number =>
      Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const run = (median: number): BenchResult => {
      const result = scaled(1);
      result.samples.bw_bytes = Array.from({ length: count }, () => median * (1 + 0.03 * normal()));
      return result;
    };
    return [run(1e9), run(1e9 * ratio)];
  }

  it("holds the true ratio about as often as it says", () => {
    for (const count of [5, 10]) {
      let held = 0;
      for (let seed = 1; seed <= 150; seed++) {
        const [low, high] = compareMetric("bw_bytes", ...drawn(0.9, count, seed), 0.05).ratio_ci!;
        if (low <= 0.9 && high >= 0.9) held++;
      }
      assert.ok(held / 150 >= 0.91 && held < 150, `${count} samples: ${held / 150}`);
    }
  });

  it("lies around the ratio, and turns round when old and new do", () => {
    fc.assert(
      fc.property(fc.double({ min: 0.2, max: 5, noNaN: true }), fc.integer(), (ratio, seed) => {
        const [old, now] = drawn(ratio, 8, seed);
        const one = compareMetric("bw_bytes", old, now, 0.05);
        const back = compareMetric("bw_bytes", now, old, 0.05);
        assert.ok(one.ratio_ci![0] <= one.ratio! && one.ratio! <= one.ratio_ci![1]);
        assert.ok(Math.abs(one.ratio! * back.ratio! - 1) < 1e-9);
        const turned = { better: "worse", worse: "better" }[one.verdict as "better"];
        // Seeds draw others from each, so that a verdict on the edge may fall either way.
        const isClear = one.ratio_ci![0] > 1.01 || one.ratio_ci![1] < 0.99;
        if (isClear) assert.equal(back.verdict, turned);
      }),
      { numRuns: 50 },
    );
  });
});
