import assert from "node:assert/strict";
import { groupsOf } from "#lib/report/groups.js";
import { benchReport, benchResult } from "../../support/bench-report.js";
import { pathsReport } from "../../support/paths-report.js";

describe("a report's groups", () => {
  it("are the jobs, in their order", () => {
    assert.deepEqual(
      groupsOf(benchReport().results).map(({ job }) => job),
      ["sweep", "matrix", "pairs", "mix", "registration", "wire", "kernel"],
    );
  });

  it("have an axis for each number that was swept, and a series for each path", () => {
    const [group] = groupsOf(pathsReport(["p2p", "host"]).results);
    assert.ok(group !== undefined);
    assert.deepEqual(
      group.axes.map(({ name, values }) => [name, values]),
      [
        ["bs", ["4k", "64k", "128k", "1m"]],
        ["iodepth", ["1", "8", "32"]],
      ],
    );
    assert.deepEqual(
      group.series.map(({ label }) => label),
      ["p2p", "host"],
    );
    assert.equal(group.places.length, 12);
    assert.equal(group.places[5]?.label, "bs=64k iodepth=32");
    assert.deepEqual(group.places[5].at, [1, 2]);
    for (const { results } of group.places)
      assert.deepEqual(
        results.map((own) => own.length),
        [1, 1],
      );
  });

  it("tell series apart by what else differs, and by nothing that does not", () => {
    const series = (name: string): string[] =>
      groupsOf(benchReport().results)
        .find(({ job }) => job === name)!
        .series.map(({ label, variant }) => `${label} ${variant}`);
    assert.deepEqual(series("registration"), ["p2p, mapped once 0", "p2p, mapped for each I/O 1"]);
    assert.deepEqual(series("sweep"), ["p2p 0", "host 0"]);
    const providers = ["0000:03:00.0/cmb", "0000:04:00.0/pmr"];
    const [two] = groupsOf(providers.map((provider) => benchResult({ provider })));
    assert.deepEqual(
      two!.series.map(({ label }) => label),
      ["p2p, 03:00.0/cmb", "p2p, 04:00.0/pmr"],
    );
  });

  it("are matrices where one path was measured of several pairs", () => {
    assert.deepEqual(
      groupsOf(benchReport().results).flatMap(({ job, isMatrix }) => (isMatrix ? [job] : [])),
      ["matrix", "pairs"],
    );
    // Providers are columns there, not series.
    const matrix = groupsOf(benchReport().results).find(({ job }) => job === "matrix");
    assert.equal(matrix?.series.length, 1);
    assert.equal(matrix.places[0]?.results[0]?.length, 8);
  });
});
