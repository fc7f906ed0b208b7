import assert from "node:assert/strict";
import { checkRun } from "#lib/io/check-run.js";
import type { RunPlan } from "#lib/io/run-plan.js";

describe("what plans say of their runs", () => {
  it("is taken as it is where it makes sense", () => {
    checkRun({});
    checkRun({ jobs: 2, cpus: [0], rampTime: 0.5, loops: 3, rateIops: 0.5, registration: "each" });
    checkRun({ rateIops: null, recordLatency: false });
  });

  for (const [plan, message] of [
    [{ jobs: 0 }, /jobs must be 1 or more, not 0/],
    [{ loops: 1.5 }, /loops must be 1 or more, not 1.5/],
    [{ rampTime: -1 }, /ramp time must be 0 seconds or more, not -1/],
    [{ rampTime: Infinity }, /not Infinity/],
    [{ rateIops: 0 }, /rate must be above 0 a second, not 0/],
    [{ rateIops: NaN }, /not NaN/],
    [{ registration: "twice" as "once" }, /no registration "twice"/],
    [{ cpus: [0, 100_000] }, /cannot run on CPU 100000/],
  ] as [RunPlan, RegExp][])
    it(`is refused: ${JSON.stringify(plan)}`, () => {
      assert.throws(
        () => {
          checkRun(plan);
        },
        { code: "BAD_ARGUMENT", message },
      );
    });
});
