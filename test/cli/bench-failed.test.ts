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

/** Three controllers with memory, of which the last does not say what it is. */
const SILENT = `root_ports:
  - device: switch
    ports:
      - { device: nvme, cmb: 512k }
      - { device: nvme }
      - { device: nvme, cmb: 16m, faults: [{ on: identify, count: 1000000000, status: [0, 6], dnr: true }] }
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

  it("has null for a device that cannot be opened, as a source and as a provider", async () => {
    writeFileSync(machine, SILENT);
    const { code, stdout, stderr } = await matrix("--output-format", "json");
    assert.equal(code, 1, stderr);
    const { results, machine: seen } = reportSchema.parse(JSON.parse(stdout));
    assert.deepEqual(
      results.map(({ src, provider, failed }) => [
        ...[src?.slice(5, 7), provider?.slice(5)],
        failed?.code ?? null,
      ]),
      [
        ["03", "03:00.0/cmb", null],
        ["03", "05:00.0", "NVME_STATUS"],
        ["04", "03:00.0/cmb", null],
        ["04", "05:00.0", "NVME_STATUS"],
        ["05", "03:00.0/cmb", "NVME_STATUS"],
        ["05", "05:00.0", "NVME_STATUS"],
      ],
    );
    assert.match(seen.devices.at(-1)!.name, /^[\da-f]{4}:[\da-f]{4}$/);
    const { stdout: text } = await matrix();
    assert.equal(text.match(/^ {2}05:00\.0\/1 +null +null$/gm)?.length, 2, text);
  });

  it("has no room in a provider for the largest blocks alone", async () => {
    writeFileSync(machine, SILENT.replace("cmb: 16m, ", ""));
    const { code, stdout, stderr } = await p2pmem(
      ...["bench", "paths", "--machine", machine, "--bs", "4k,1m", "--path", "p2p,host"],
      ...["--iodepth", "1", "--samples", "1", "--runtime", "20ms", "--output-format", "json"],
    );
    assert.equal(code, 1, stderr);
    const { results } = reportSchema.parse(JSON.parse(stdout));
    assert.deepEqual(
      results.map(({ path, bs, failed }) => `${path} ${bs} ${failed?.code ?? "ok"}`),
      ["p2p 4096 ok", "host 4096 ok", "p2p 1048576 NO_ROOM", "host 1048576 ok"],
    );
  });
});
