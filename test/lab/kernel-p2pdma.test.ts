import assert from "node:assert/strict";
import type { Comparison } from "../guest/kernel-p2pdma.js";
import { assertPassed, runInLab, testsIn, type LabRun } from "../support/lab.js";

/**
 * By the machine's layout: a CMB below each of two ports of a switch that do not redirect (A, B), two in
 * one device below a third port of it (P, Q), and one on a root port of its own (C). The host bridge is
 * on no list.
 */
const MACHINES = [
  {
    name: "p2pdma",
    title: "where the third port redirects",
    // Each its own, A and B each other's.
    pairs: { BUS_ADDR: 7, NOT_SUPPORTED: 18 },
    hasPathTests: true,
  },
  {
    name: "p2pdma-direct",
    title: "where no port redirects",
    // All of A, B, P and Q, and C its own.
    pairs: { BUS_ADDR: 17, NOT_SUPPORTED: 8 },
  },
  {
    name: "p2pdma-amd",
    title: "where the processor is one that forwards",
    pairs: { BUS_ADDR: 7, THROUGH_HOST_BRIDGE: 18 },
  },
];

/** EINVAL since the two-step DMA API, EREMOTEIO before. */
const REFUSALS = ["EREMOTEIO", "EINVAL"];

describe("the kernel's p2pdma does what p2pmem says of it", () => {
  for (const { name, title, pairs, hasPathTests = false } of MACHINES)
    describe(title, () => {
      let comparisons: Comparison[];
      let run: LabRun;

      before(() => {
        const compare = `"${process.execPath}" dist-test/guest/kernel-p2pdma.js`;
        // In the same server: a boot is dear. A test that fails is told of below.
        const files = ["kernel-path", "kernel-bench"].map((file) => `dist-test/guest/${file}.js`);
        const test = `${testsIn(...files)} || true`;
        run = runInLab(name, hasPathTests ? `${compare} && { ${test}; }` : compare);
        assert.equal(run.status, 0, run.stdout + run.stderr);
        comparisons = JSON.parse(run.stdout.split("\n", 1)[0]!) as Comparison[];
      });

      it("has the pairs of its layout", () => {
        const counts: Record<string, number> = {};
        for (const { mapType } of comparisons) counts[mapType] = (counts[mapType] ?? 0) + 1;
        assert.deepEqual(counts, pairs);
      });

      it("refuses what is not supported", () => {
        for (const { provider, client, outcome, mapType, reason } of comparisons)
          if (mapType === "NOT_SUPPORTED")
            assert.ok(REFUSALS.includes(outcome), `${provider} ${client}: ${outcome}; ${reason}`);
      });

      if (hasPathTests)
        it("does what the kernel's path is for (test/guest/kernel-path.ts, kernel-bench.ts)", () => {
          assertPassed(run);
        });

      it("moves the right data wherever else", () => {
        for (const { provider, client, outcome, mapType, reason } of comparisons)
          if (mapType !== "NOT_SUPPORTED")
            assert.equal(outcome, "right", `${provider} ${client}: ${reason}`);
      });
    });
});
