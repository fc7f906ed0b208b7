import assert from "node:assert/strict";
import type { NativeDmaFault } from "#lib/addon.js";
import { probeCsv, probeJson, probeTable, type ProbeReport } from "#lib/cli/output/probe.js";
import { describeFailure } from "#lib/cli/failure.js";
import { unprovedError } from "#lib/proof/path.js";
import { parseBdf } from "#lib/pci/bdf.js";
import { probeReport } from "../../support/result-schema.js";

const SOURCE = parseBdf("0000:03:00.0");
const DESTINATION = parseBdf("0000:04:00.0");

function reportOf(faults: NativeDmaFault[] | null): ProbeReport {
  return {
    version: "1.2.3",
    platform: "vfio",
    source: `${SOURCE}/1`,
    provider: "0000:05:00.0/bar2",
    destination: `${DESTINATION}/1`,
    legs: [
      {
        ...{ client: "source", device: SOURCE, direction: "write", required: true },
        ...{ outcome: "failed", detail: "Read failed, badly", bytes: 0 },
      },
      {
        ...{ client: "destination", device: DESTINATION, direction: "read", required: true },
        ...{ outcome: "unproved", detail: "it has no Compare command", bytes: 0 },
      },
    ],
    faults,
    verdict: "unproved",
  };
}

const fault = (index: number): NativeDmaFault => ({
  device: SOURCE,
  iova: 2n ** 40n + BigInt(index * 4096),
  write: index % 2 === 0,
  reason: "not mapped",
});

describe("the report of a probe", () => {
  it("says for a person why a leg is not proved", () => {
    assert.deepEqual(probeTable(reportOf([])).split("\n").slice(-6), [
      `source ${SOURCE} to 0000:05:00.0/bar2:`,
      "  Read failed, badly",
      `0000:05:00.0/bar2 to destination ${DESTINATION}:`,
      "  it has no Compare command",
      "verdict: unproved",
      "",
    ]);
  });

  it("shows a person the first faults, and how many there were", () => {
    const text = probeTable(reportOf([0, 1, 2, 3, 4, 5].map(fault)));
    assert.match(text, /^IOMMU faults: 6\n/m);
    assert.match(text, new RegExp(`^ {2}${SOURCE} write 0x10000000000: not mapped$`, "m"));
    assert.match(text, new RegExp(`^ {2}${SOURCE} read 0x10000001000: not mapped$`, "m"));
    assert.match(text, /^ {2}and 2 more$/m);
  });

  it("tells unknown faults from none, for persons and programs", () => {
    assert.match(probeTable(reportOf(null)), /^IOMMU faults: not known/m);
    assert.doesNotMatch(probeTable(reportOf([])), /faults/);
    assert.equal(probeReport.parse(JSON.parse(probeJson(reportOf(null)))).faults, null);
    assert.deepEqual(probeReport.parse(JSON.parse(probeJson(reportOf([])))).faults, []);
  });

  it("gives programs every fault, addresses in hexadecimal", () => {
    const { faults } = probeReport.parse(JSON.parse(probeJson(reportOf([fault(0), fault(1)]))));
    assert.deepEqual(
      faults!.map(({ iova, write }) => [iova, write]),
      [
        ["0x10000000000", true],
        ["0x10000001000", false],
      ],
    );
  });

  it("quotes a detail with a comma in CSV", () => {
    const [, leg] = probeCsv(reportOf([])).split("\r\n");
    assert.match(leg!, /,failed,0,0,"Read failed, badly",unproved$/);
  });

  it("counts in CSV the faults of each leg, and leaves out what is not known", () => {
    const counts = (faults: NativeDmaFault[] | null): (string | undefined)[] =>
      probeCsv(reportOf(faults))
        .trimEnd()
        .split("\r\n")
        .map((row) => row.split(",")[7]);
    const read = { ...fault(1), device: DESTINATION };
    assert.deepEqual(counts([fault(0), fault(1), fault(2), read]), ["faults", "2", "1"]);
    assert.deepEqual(counts(null), ["faults", "", ""]);
  });

  it("names the way round a path that loses data, or that is refused", () => {
    for (const verdict of ["loses data", "refused"] as const)
      assert.match(
        probeTable({ ...reportOf([]), verdict }),
        new RegExp(`^verdict: ${verdict}; copy --via host does without it$`, "m"),
      );
  });
});

describe("a path of which nothing could be shown", () => {
  it("is an error, exit code 1, with what to do about the first such leg", () => {
    const [failed, unproved] = reportOf([]).legs;
    const first = describeFailure(unprovedError([failed!, unproved!]));
    assert.equal(first.exitCode, 1);
    assert.match(first.line!, /^p2pmem: PATH_UNPROVED: Read failed, badly; hint: \S/);
    const second = describeFailure(unprovedError([{ ...failed!, outcome: "proved" }, unproved!]));
    assert.match(second.line!, new RegExp(`hint: .*--scratch ${DESTINATION}/.*--allow-write`));
  });
});
