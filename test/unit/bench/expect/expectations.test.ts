import assert from "node:assert/strict";
import { runInThisContext } from "node:vm";
import fc from "fast-check";
import { evaluate } from "#lib/bench/expect/evaluate.js";
import { evaluateExpectations } from "#lib/bench/expect/expectations.js";
import { isBoolean, valueOf, type Expression } from "#lib/bench/expect/expression.js";
import { readField } from "#lib/bench/expect/names.js";
import { parseExpectation } from "#lib/bench/expect/parser.js";
import { BENCH_PATHS } from "#lib/bench/point.js";
import type { BenchResult, ExpectationResult } from "#lib/bench/report.js";
import { benchResult, latency } from "../../../support/loopback-report.js";
import { arbitraryExpression } from "../../../support/expressions.js";

const host: Partial<BenchResult> = { path: "host", provider: null };

function expectations(text: string, ...results: BenchResult[]): ExpectationResult[] {
  return evaluateExpectations([{ job: "quick", expression: parseExpectation(text) }], results);
}

function expectation(text: string, ...results: BenchResult[]): ExpectationResult {
  const [first, ...more] = expectations(text, ...results);
  assert.deepEqual(more, []);
  return first!;
}

describe("expectations", () => {
  const pair = [benchResult({ bw_bytes: 800 }), benchResult({ ...host, bw_bytes: 1000 })];

  it("compare paths of the same combination, and say the values", () => {
    assert.deepEqual(expectation("p2p.bw_bytes / host.bw_bytes >= 0.75", ...pair), {
      job: "quick",
      expression: "p2p.bw_bytes / host.bw_bytes >= 0.75",
      point: "bs=4k iodepth=8",
      outcome: "pass",
      detail:
        "p2p.bw_bytes / host.bw_bytes = 0.8 >= 0.75 (p2p.bw_bytes = 800, host.bw_bytes = 1000)",
    });
    const failed = expectation("p2p.bw_bytes / host.bw_bytes >= 90%", ...pair);
    assert.equal(failed.outcome, "fail");
    assert.match(failed.detail, /^p2p\.bw_bytes \/ host\.bw_bytes = 80% not >= 90% \(/);
  });

  it("hold for each result where a name has no path", () => {
    const results = [benchResult(), benchResult({ ...host, lat_ns: latency({ mean: 7000 }) })];
    assert.equal(expectation("lat_ns.mean <= 7us", ...results).outcome, "pass");
    const failed = expectation("lat_ns.mean < 7us", ...results);
    assert.equal(failed.outcome, "fail");
    assert.equal(failed.detail, "host: lat_ns.mean = 7us not < 7us");
  });

  it("are judged for each combination of what the job sweeps, and for its own job only", () => {
    const results = [4096, 65536].flatMap((bs) =>
      [1, 8].flatMap((iodepth) => [
        benchResult({ bs, iodepth, iops: bs / iodepth }),
        benchResult({ ...host, bs, iodepth, iops: 8192 }),
      ]),
    );
    const found = expectations(
      "p2p.iops >= host.iops",
      ...results,
      benchResult({ job: "another", iops: 1 }),
    );
    assert.deepEqual(
      found.map(({ point, outcome }) => [point, outcome]),
      [
        ["bs=4k iodepth=1", "fail"],
        ["bs=4k iodepth=8", "fail"],
        ["bs=64k iodepth=1", "pass"],
        ["bs=64k iodepth=8", "pass"],
      ],
    );
  });

  it("name in the combination what else is swept", () => {
    const points = expectations(
      "iops > 1",
      benchResult({ rw: "randrw", rwmixread: 70, src: "0000:03:00.0/1", dst: null }),
      benchResult({ rw: "randread", rwmixread: null, registration: "each", dst: null }),
      benchResult({ rw: "randread", rwmixread: null, registration: "each", numjobs: 2 }),
    ).map(({ point }) => point);
    assert.deepEqual(points, [
      "rw=randrw dst=none bs=4k iodepth=8 numjobs=1 rwmixread=70 registration=once",
      "rw=randread dst=none bs=4k iodepth=8 numjobs=1 rwmixread=none registration=each",
      "rw=randread dst=0000:04:00.0/1 bs=4k iodepth=8 numjobs=2 rwmixread=none registration=each",
    ]);
  });

  it("check every provider that a path ran through", () => {
    const results = [
      ...["0000:05:00.0/bar2", "0000:03:00.0/cmb", "0000:06:00.0/bar2"].map((provider, index) =>
        benchResult({ provider, bw_bytes: 1000 - 100 * index }),
      ),
      benchResult({ ...host, bw_bytes: 1000 }),
    ];
    const failed = expectation("p2p.bw_bytes >= 0.9 * host.bw_bytes", ...results);
    assert.equal(failed.outcome, "fail");
    assert.match(failed.detail, /^p2p by 0000:06:00\.0\/bar2: p2p\.bw_bytes = 800 not >= 0\.9/);
    assert.equal(expectation("p2p.bw_bytes >= 0.8 * host.bw_bytes", ...results).outcome, "pass");
  });

  it("keep apart what a sweep of something that results do not show has made", () => {
    const results = [100, 200].flatMap((iops) => [
      benchResult({ iops }),
      benchResult({ ...host, iops }),
    ]);
    const found = expectations("p2p.iops == host.iops", ...results);
    assert.deepEqual(
      found.map(({ point, outcome }) => [point, outcome]),
      [
        ["bs=4k iodepth=8", "pass"],
        ["bs=4k iodepth=8 #2", "pass"],
      ],
    );
  });

  it("compare the kernel's paths, whose endpoints have other names, with each pair of devices", () => {
    const results = [
      benchResult({ dst: "0000:04:00.0/1", iops: 100 }),
      benchResult({ dst: "0000:06:00.0/1", iops: 300 }),
      benchResult({ path: "kernel-p2p", src: "/dev/nvme0n1", dst: "/dev/nvme1n1", iops: 200 }),
    ];
    const found = expectations("p2p.iops > kernel_p2p.iops", ...results);
    assert.deepEqual(
      found.map(({ point, outcome }) => [point, outcome]),
      [
        ["dst=0000:04:00.0/1 bs=4k iodepth=8", "fail"],
        ["dst=0000:06:00.0/1 bs=4k iodepth=8", "pass"],
      ],
    );
    const alone = results.slice(2);
    assert.equal(expectation("kernel-p2p.iops == 200", ...alone).outcome, "pass");
  });

  const unknownTraffic = { traffic: { ...benchResult().traffic, host_memory_bytes: null } };
  const errors: [text: string, results: BenchResult[], detail: RegExp][] = [
    ["p2p.traffic.host_memory_bytes == 0", [benchResult(unknownTraffic)], /not known/],
    ["traffic.host_memory_bytes != 1", [benchResult(unknownTraffic)], /p2p\.traffic.* not known/],
    ["verify.mismatches == 0", [benchResult()], /verify\.mismatches is not known/],
    ["lat_ns.p95 < 1s", [benchResult()], /p2p\.lat_ns\.p95 is not among the percentiles/],
    ["lat_ns.p99 < 1s", [benchResult({ lat_ns: null })], /not known/],
    ["read.lat_ns.p99 < 1s", [benchResult()], /not known/],
    ["not bw_bytes < 1", [benchResult({ bw_bytes: NaN })], /bw_bytes is not known/],
    ["p2p.iops / host.iops > 1", [benchResult()], /no result of the path host/],
    ["p2p.iops / p2p.rwmixread > 1", [benchResult({ rwmixread: 0 })], /division by zero/],
    ["iops / (bs - bs) > 1", [benchResult()], /division by zero: bs - bs is 0/],
    ["iops * 1e308 > 1", [benchResult()], /too large/],
    ["iops > 1", [benchResult({ incomplete: true })], /p2p did not run to its end/],
    ["iops > 1", [], /the job has no results/],
    ["iops > 1", [benchResult({ job: "another" })], /the job has no results/],
  ];
  for (const [text, results, detail] of errors)
    it(`are an error, never a pass: ${text}, ${detail.source}`, () => {
      const found = expectation(text, ...results);
      assert.equal(found.outcome, "error");
      assert.match(found.detail, detail);
    });

  it("fail where one result fails and another cannot tell", () => {
    const results = [
      benchResult(unknownTraffic),
      benchResult({ ...host, ...{ traffic: traffic(5) } }),
    ];
    assert.equal(expectation("traffic.host_memory_bytes == 0", ...results).outcome, "fail");
  });

  it("look at the right side only where the left one leaves it open", () => {
    const small = benchResult(unknownTraffic);
    const text = "bs < 64k or traffic.host_memory_bytes == 0";
    assert.equal(expectation(text, small).outcome, "pass");
    assert.equal(expectation(text, benchResult({ ...unknownTraffic, bs: 65536 })).outcome, "error");
    const guarded = "rwmixread != 0 and iops / rwmixread > 1";
    assert.equal(expectation(guarded, benchResult({ rwmixread: 0 })).outcome, "fail");
  });

  it("say no more than four of many failures", () => {
    const results = BENCH_PATHS.map((path) => benchResult({ path, iops: 1 }));
    const { detail } = expectation("iops > 5", ...results);
    assert.match(detail, /^p2p: iops = 1 not > 5; host: .*; and 4 more$/);
  });

  it("mean what JavaScript means by them", () => {
    const result = benchResult({
      ...{ rw: "randrw", rwmixread: 70, limit_bw_bytes: 0, bw_bytes: 0.1 },
      read: { ios: 10, lat_ns: latency() },
      write: { ios: 0, lat_ns: null },
      verify: { mode: "crc32c", blocks: 5, mismatches: 2, first: null, runtime_ns: 5 },
    });
    const byPath = new Map(BENCH_PATHS.map((path) => [path, { ...result, path }]));
    fc.assert(
      fc.property(arbitraryExpression, (expression) => {
        const { outcome } = evaluate(expression, { each: result, byPath });
        assert.equal(outcome, oracle(expression, result));
      }),
      { numRuns: 5000 },
    );
  });
});

describe("an expectation of verified data", () => {
  it("is an error where no block was verified", () => {
    const found = (blocks: number): unknown =>
      readField(
        benchResult({
          verify: { mode: "crc32c", blocks, mismatches: 0, first: null, runtime_ns: 1 },
        }),
        "verify.mismatches",
      );
    assert.deepEqual([found(1), found(0)], [0, null]);
  });
});

function traffic(bytes: number): BenchResult["traffic"] {
  return { ...benchResult().traffic, host_memory_bytes: bytes };
}

/** By JavaScript's own operators, with getters that throw for what is not known. */
function oracle(expression: Expression, result: BenchResult): string {
  try {
    const run = runInThisContext(`(read, number, divide) => ${translate(expression)}`) as (
      ...helpers: unknown[]
    ) => boolean;
    const number = (value: number): number => {
      if (Number.isFinite(value)) return value;
      throw new RangeError();
    };
    const read = (field: string): number => number(readField(result, field) ?? NaN);
    return run(read, number, (a: number, b: number) => number(a / b)) ? "pass" : "fail";
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    return "error";
  }
}

function translate(expression: Expression): string {
  switch (expression.kind) {
    case "number":
      return `number(${valueOf(expression)})`;
    case "name":
      return `read("${expression.field}")`;
    case "negate":
      return `(- ${translate(expression.operand)})`;
    case "not":
      return `(! ${translate(expression.operand)})`;
    case "call":
      return `Math.${expression.function}(${expression.arguments.map(translate).join()})`;
    case "binary": {
      const [left, right] = [translate(expression.left), translate(expression.right)];
      if (expression.operator === "/") return `divide(${left}, ${right})`;
      const operator = { and: "&&", or: "||", "==": "===", "!=": "!==" }[
        expression.operator as "and"
      ];
      const text = `(${left} ${(operator as string | undefined) ?? expression.operator} ${right})`;
      return isBoolean(expression) ? text : `number${text}`;
    }
  }
}
