/**
 * The same kind of test in TypeScript, for what a job file cannot say. It is an ordinary program for
 * Node's test runner; Node.js 22.18 and later run it as it stands, earlier ones what tsc makes of it:
 *
 *   node --test examples/lab-test.ts
 *
 * That is the loopback machine. On real devices SRC is read, and DST is overwritten:
 *
 *   SRC=0000:03:00.0 DST=0000:04:00.0/1@0+1g node --test examples/lab-test.ts
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { bench, type BenchReport, type BenchResult } from "p2pmem";

const { SRC: src, DST: dst } = process.env;
const isReal = src !== undefined && dst !== undefined;
if (!isReal && (src ?? dst) !== undefined)
  throw new Error(
    "name both: SRC is read and DST overwritten; without either it is the loopback machine",
  );

describe("copies on this machine", () => {
  let report: BenchReport;

  before(async () => {
    report = await bench({
      jobs: {
        copy: {
          ...{ path: ["p2p", "host"], bs: ["64k", "128k"], iodepth: 8, verify: "memcmp" },
          ...{ size: "16m", runtime: "100ms", samples: 5 },
          expect: ["p2p.traffic.host_memory_bytes == 0", "verify.mismatches == 0"],
        },
      },
      overrides: isReal ? { src, dst } : {},
      sessionOptions: { platform: isReal ? "vfio" : "loopback" },
      allowWrite: isReal,
    });
  });

  it("do what the job expects", () => {
    for (const { expression, point, outcome, detail } of report.expectations)
      assert.equal(outcome, "pass", `${expression} (${point}): ${detail}`);
    assert.equal(report.expectations.length, 4);
  });

  it("cross host memory twice where they go over it", () => {
    for (const { traffic, bytes } of resultsOf("host"))
      assert.equal(traffic.host_memory_bytes, 2 * bytes);
  });

  it("were measured as often as asked for, each time with data", () => {
    for (const { samples } of report.results) {
      assert.equal(samples.bw_bytes.length, 5);
      assert.ok(samples.bw_bytes.every((bandwidth) => bandwidth > 0));
    }
  });

  function resultsOf(path: string): BenchResult[] {
    return report.results.filter((result) => result.path === path);
  }
});
