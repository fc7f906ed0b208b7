import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { p2pmem, start, waitUntilBusy } from "../support/command.js";
import type { BenchReport } from "#lib/bench/report.js";
import { reportSchema } from "#lib/bench/report-schema.js";
import { deviceReport } from "../support/result-schema.js";

const loopback = ["bench", "--platform", "loopback", "--runtime", "0.05", "--samples", "2"];

/** What the command wrote as JSON, as its schema has it. */
function reportOf(stdout: string): BenchReport {
  return reportSchema.parse(JSON.parse(stdout)) as BenchReport;
}

describe("p2pmem bench", () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), "p2pmem-bench-"));
  });
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("measures every path with every block size and depth, as the documented JSON", async () => {
    const { code, stdout, stderr } = await p2pmem(
      ...[...loopback, "--path", "p2p,host,cpu", "--bs", "4k,64k", "--iodepth", "1,8"],
      ...["--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    const { platform, results } = reportOf(stdout);
    assert.equal(platform, "loopback");
    const combinations = results.map(({ path, bs, iodepth }) => `${path} ${bs} ${iodepth}`);
    assert.equal(new Set(combinations).size, 12);
    for (const { path, bytes, bs, iops, bw_bytes, traffic, limit_bw_bytes, lat_ns } of results) {
      assert.ok(limit_bw_bytes !== null);
      assert.ok(Math.abs(iops * bs - bw_bytes) <= bw_bytes / 20, "iops counts block copies");
      assert.ok(lat_ns!.min <= lat_ns!.mean && lat_ns!.mean <= lat_ns!.max);
      assert.equal(traffic.host_memory_bytes, path === "p2p" ? 0 : 2 * bytes);
    }
  });

  it("says first which machine, namespaces and provider it took, then shows a table", async () => {
    const { code, stdout, stderr } = await p2pmem(...loopback, "--bs", "4k", "--iodepth", "1");
    assert.equal(code, 0);
    assert.equal(stderr, "", "no progress where standard error is no terminal");
    const lines = stdout.trimEnd().split("\n");
    assert.match(lines[0]!, /loopback/);
    assert.match(
      lines[2]!,
      /^quick: copy [\da-f:.]+\/1 to [\da-f:.]+\/1, over 128 MiB, 2 samples of /,
    );
    assert.match(lines[3]!, /^path +provider +bs +depth /);
    assert.deepEqual(
      lines.slice(5, 8).map((line) => line.split(" ")[0]),
      ["p2p", "host", "cpu"],
    );
    for (const line of lines) assert.ok(line.length <= 100, line);
  });

  it("verifies on request", async () => {
    const { code, stdout, stderr } = await p2pmem(
      ...[...loopback, "--verify", "--bs", "64k", "--iodepth", "8", "--output-format", "json"],
    );
    assert.equal(code, 0, stderr);
    for (const { verify } of reportOf(stdout).results) {
      assert.ok(verify !== null && verify.blocks > 0);
      assert.equal(verify.mismatches, 0);
    }
  });

  it("finds data that was overwritten, and exits with 3", async () => {
    // Two namespaces over one file, one block apart: each block written is the next one's source.
    const machine = join(directory, "machine.yaml");
    writeFileSync(join(directory, "disk"), Buffer.alloc(1 << 20));
    writeFileSync(
      machine,
      `root_ports:
  - { device: nvme, cmb: 1m, namespaces: [{ file: disk }] }
  - { device: nvme, namespaces: [{ file: disk }] }
`,
    );
    const listed = await p2pmem("list", "--machine", machine, "--output-format", "json");
    const { controllers } = deviceReport.parse(JSON.parse(listed.stdout));
    const { code, stdout, stderr } = await p2pmem(
      ...["bench", "--machine", machine, "--runtime", "0.05", "--path", "p2p", "--verify=pattern"],
      ...["--src", `${controllers[0]!.address}@0+512k`, "--dst", `${controllers[1]!.address}@64k`],
      ...["--bs", "64k", "--iodepth", "1", "--output-format", "json"],
    );
    assert.equal(code, 3, stderr);
    const [result] = reportOf(stdout).results;
    assert.ok(result!.verify!.mismatches > 0);
  });

  it("writes CSV to a file, one row for each run", async () => {
    const path = join(directory, "result.csv");
    const { code, stdout } = await p2pmem(
      ...[...loopback, "--path", "host", "--bs", "4k,8k", "--iodepth", "4"],
      ...["--output-format", "csv", "--output", path],
    );
    assert.equal(code, 0);
    assert.equal(stdout, "");
    const rows = readFileSync(path, "utf8").trimEnd().split("\r\n");
    assert.equal(rows.length, 3);
    assert.match(
      rows[0]!,
      /^version,platform,started,hostname,job,rw,path,provider,src,dst,bs,iodepth,/,
    );
    assert.match(rows[1]!, /^[^,]+,loopback,[^,]+,[^,]+,quick,copy,host,,[^,]+,[^,]+,4096,4,/);
  });

  it("refuses a sweep of which any run is impossible before the first begins", async () => {
    const { code, stdout, stderr } = await p2pmem(
      ...[...loopback, "--runtime", "60", "--bs", "4k,1000", "--output-format", "json"],
    );
    assert.equal(code, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /^p2pmem: UNALIGNED: [^\n]*1000[^\n]*\n$/);
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const)
    it(`drains, lets go, writes what it has and exits with 130 on ${signal}`, async () => {
      const path = join(directory, `${signal}.json`);
      const { child, done } = start(
        ...["bench", "--platform", "loopback", "--runtime", "0.05", "--samples", "1000"],
        ...["--path", "p2p,host", "--bs", "128k", "--iodepth", "32"],
        ...["--output-format", "json", "--output", path],
      );
      await once(child, "spawn");
      // Long enough for the start, the warm-up and some of the samples, far from all of them.
      await waitUntilBusy(child.pid!, 4);
      child.kill(signal);
      const { code, stderr } = await done;
      assert.equal(code, 130);
      assert.match(stderr, /^p2pmem: INTERRUPTED: [^\n]+\n$/);
      const { incomplete, results, warnings } = reportOf(readFileSync(path, "utf8"));
      assert.ok(incomplete && results.length > 0);
      for (const result of results) assert.ok(result.incomplete);
      assert.match(warnings.at(-1)!, /^interrupted: 0 of 2 results are complete$/);
    });

  it("shows the built-in jobs", async () => {
    const { code, stdout } = await p2pmem("bench", "--list");
    assert.equal(code, 0);
    for (const name of ["quick", "paths", "matrix", "registration", "mix", "soak"])
      assert.match(stdout, new RegExp(`^${name} `, "m"));
  });

  it("runs the jobs of a file, judges them, and writes JUnit and HTML beside TAP", async () => {
    const job = join(directory, "job.yaml");
    writeFileSync(
      job,
      `global: { runtime: 50ms, samples: 2, bs: 64k, iodepth: 8 }
copies:
  path: [p2p, host]
  expect:
    - p2p.traffic.host_memory_bytes == 0
    - host.traffic.host_memory_bytes / host.bytes == 2
reads: { rw: randread, path: [p2p, host], expect: lat_ns.p99 < 1ns }
`,
    );
    const [junit, page] = [join(directory, "junit.xml"), join(directory, "page.html")];
    const { code, stdout, stderr } = await p2pmem(
      ...["bench", job, "--platform", "loopback", "--tap", "--junit", junit, "--report", page],
    );
    assert.equal(code, 3, stderr);
    assert.match(stdout, /^TAP version 14\n/m);
    assert.match(stdout, /^ok 1 - copies$/m);
    assert.match(stdout, /^not ok 2 - reads$/m);
    assert.match(readFileSync(junit, "utf8"), /<testsuite name="reads"[^>]* failures="1"/);
    assert.match(readFileSync(page, "utf8"), /^<!doctype html>/i);
  });

  it("writes what fio's parsers read", async () => {
    const { code, stdout } = await p2pmem(
      ...[
        ...loopback,
        "--path",
        "host",
        "--bs",
        "4k",
        "--iodepth",
        "4",
        "--output-format",
        "json+",
      ],
    );
    assert.equal(code, 0);
    const { jobs } = JSON.parse(stdout) as { jobs: { write: { clat_ns: { bins: object } } }[] };
    assert.ok(Object.keys(jobs[0]!.write.clat_ns.bins).length > 0);
    const { code: refused, stderr } = await p2pmem("list", "--output-format", "json+");
    assert.equal(refused, 2);
    assert.match(stderr, /^p2pmem: BAD_ARGUMENT: list has no output format json\+; hint: /);
  });

  it("says what is wrong with a job file, and where", async () => {
    const job = join(directory, "bad.yaml");
    writeFileSync(job, "it:\n  bs: 4k\n  expect: p2p.bw >= 1\n");
    const { code, stderr } = await p2pmem("bench", job);
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^p2pmem: BAD_JOB_FILE: [^\n]*bad\.yaml:3: [^\n]*\n {2}p2p\.bw >= 1\n {2}\^\n$/,
    );
    const option = await p2pmem("bench", "--expect", "1 < iops <");
    assert.equal(option.code, 2);
    assert.match(
      option.stderr,
      /^p2pmem: BAD_EXPRESSION: [^\n]*column 10: [^\n]*\n[^\n]*\n {11}\^\n$/,
    );
  });
});
