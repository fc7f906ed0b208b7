import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { reportSchema } from "#lib/bench/report-schema.js";
import { p2pmem } from "../support/command.js";

/** Two controllers, of which the second fails to read, and two cards. */
const MACHINE = `root_ports:
  - device: switch
    ports:
      - { device: nvme }
      - { device: nvme, faults: [{ on: read, count: 1000000000, status: [2, 0x81], dnr: true }] }
      - { device: card, memory: 16m }
      - { device: card, memory: 16m }
`;

describe("p2pmem bench, where one pair of many fails", () => {
  let directory: string;
  let machine: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-failed-"));
    machine = join(directory, "machine.yaml");
    writeFileSync(machine, MACHINE);
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  const matrix = (...options: string[]) =>
    p2pmem(
      ...["bench", "matrix", "--machine", machine, "--runtime", "50ms", "--samples", "2"],
      ...["--bs", "64k", "--iodepth", "4", ...options],
    );

  it("measures the others, says which failed and why, and exits with 1", async () => {
    const junit = join(directory, "junit.xml");
    const page = join(directory, "page.html");
    const { code, stdout, stderr } = await matrix(
      ...["--output-format", "json", "--junit", junit, "--report", page],
    );
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /^p2pmem: NVME_STATUS: 2 of 4 results failed; the first, matrix [^\n]+\n$/,
    );
    const { incomplete, results } = reportSchema.parse(JSON.parse(stdout));
    assert.equal(incomplete, false);
    assert.deepEqual(
      results.map(({ failed, bw_bytes: bandwidth }) => [failed?.code, bandwidth === null]),
      [
        [undefined, false],
        [undefined, false],
        ["NVME_STATUS", true],
        ["NVME_STATUS", true],
      ],
    );
    assert.match(readFileSync(junit, "utf8"), / errors="2"[^]*type="NVME_STATUS"/);
    assert.match(readFileSync(page, "utf8"), /2 of 4 results failed/);
  });

  it("has null in the matrix for what failed, and the reason below", async () => {
    const { code, stdout } = await matrix();
    assert.equal(code, 1);
    // Of bandwidth and of latency.
    assert.equal(stdout.match(/^ {2}[\d:.]+\/1 +null +null$/gm)?.length, 2, stdout);
    assert.match(stdout, /^failed: matrix [^\n]* \(and 1 more\): NVME_STATUS: /m);
  });

  it("exits with 3 where what was expected does not hold either", async () => {
    const { code, stdout, stderr } = await matrix("--expect", "iops > 0");
    assert.equal(code, 3);
    assert.match(stderr, /^p2pmem: NVME_STATUS: [^\n]+\n$/);
    assert.match(stdout, /^expectations: 1 pass, 0 fail, 1 error$/m);
  });
});
