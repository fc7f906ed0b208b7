import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { z } from "zod";
import { reportJsonSchema, type reportSchema } from "#lib/bench/report-schema.js";
import type { BenchReport } from "#lib/bench/report.js";
import { benchReport } from "../../../support/bench-report.js";

const PUBLISHED = new URL("../../../../schema/bench-report.schema.json", import.meta.url);

/** Null aside: in JSON it also stands for a figure that could not be computed. */
type Stated<T> = T extends object ? { [Key in keyof T]: Stated<Exclude<T[Key], null>> } : T;
type Includes<A, B> = [B] extends [A] ? true : false;

function published(): object {
  return JSON.parse(readFileSync(PUBLISHED, "utf8")) as object;
}

const whole = benchReport();
const validate = new Ajv2020({ allErrors: true, formats: { "date-time": true } }).compile(
  published(),
);

/** What is wrong with the report once it is JSON, as `/results/0/bw_bytes: must be number`. */
function complaints(change: (report: BenchReport) => void = () => undefined): string[] {
  const report = structuredClone(whole);
  change(report);
  validate(JSON.parse(JSON.stringify(report)));
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath}: ${message}`);
}

describe("the published schema of a benchmark's report", () => {
  it("is what the sources say: else run node scripts/write-schemas.mjs", () => {
    assert.deepEqual(published(), JSON.parse(JSON.stringify(reportJsonSchema())));
  });

  it("has the fields of the interface, each of its type", () => {
    type Json = z.infer<typeof reportSchema>;
    // The compiler tests it: what holds only one way is no `true`.
    const holds: [
      Includes<Json, BenchReport>,
      Includes<Stated<Json>, Stated<BenchReport>>,
      Includes<Stated<BenchReport>, Stated<Json>>,
    ] = [true, true, true];
    assert.equal(holds.length, 3);
  });

  it("takes a report, with what is unknown as null", () => {
    assert.deepEqual(complaints(), []);
    assert.deepEqual(
      complaints(({ results }) => {
        results[0]!.bw_bytes = NaN;
        results[0]!.cpu.usr_pct = Infinity;
      }),
      [],
    );
  });

  it("refuses another format, a key too many, one too few, and a value of another kind", () => {
    const cases: [(report: BenchReport) => void, RegExp][] = [
      [(report) => Object.assign(report, { format: "p2pmem-bench-2" }), /^\/format: must be equal/],
      [
        ({ machine }) => Object.assign(machine, { os: "x" }),
        /^\/machine: must NOT have additional/,
      ],
      [({ results }) => delete (results[0] as { bs?: number }).bs, /^\/results\/0: .*'bs'/],
      [({ results }) => (results[1]!.ios = -1), /^\/results\/1\/ios: must be >= 0/],
      [
        ({ results }) => (results[1]!.samples.bw_bytes_ci = [1] as never),
        /_ci: must NOT have fewer/,
      ],
      [({ results }) => Object.assign(results[2]!, { path: "dma" }), /^\/results\/2\/path/],
      [({ results }) => (results[0]!.lat_ns!.percentile["p99"] = 1), /percentile: property name/],
      [(report) => (report.started = "yesterday"), /^\/started: must match pattern/],
    ];
    for (const [change, expected] of cases) {
      const found = complaints(change);
      assert.ok(
        found.some((text) => expected.test(text)),
        `${expected}: ${found.join("; ")}`,
      );
    }
  });
});
