import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BenchReport, Latency } from "#lib/bench/report.js";
import { benchFioJson } from "#lib/cli/output/bench/fio.js";
import { benchReport, benchResult } from "../../../support/bench-report.js";

interface FioLatency {
  min: number;
  mean: number;
  N: number;
  percentile?: Record<string, number>;
  bins?: Record<string, number>;
}

interface FioSide {
  [rate: string]: unknown;
  io_bytes: number;
  bw: number;
  iops: number;
  runtime: number;
  total_ios: number;
  slat_ns: FioLatency;
  clat_ns: FioLatency;
  lat_ns: FioLatency;
  bw_samples: number;
}

interface FioJob {
  [key: string]: unknown;
  jobname: string;
  error: number;
  "job options": Record<string, string>;
  read: FioSide;
  write: FioSide;
  trim: FioSide;
  latency_us: Record<string, number>;
}

const WRITTEN = new Date(2026, 2, 1, 12, 5, 7);
const TOOL = "fio_jsonplus_clat2csv";

function fioJobs(report: BenchReport): FioJob[] {
  return (JSON.parse(benchFioJson(report, WRITTEN)) as { jobs: FioJob[] }).jobs;
}

function only(result: ReturnType<typeof benchResult>): FioJob {
  return fioJobs({ ...benchReport(), results: [result] })[0]!;
}

describe("a benchmark's json+", () => {
  it("says whose layout it is, who wrote it and when", () => {
    const text = benchFioJson(benchReport(), WRITTEN);
    const top = JSON.parse(text) as Record<string, unknown>;
    assert.equal(top["fio version"], "fio-3.33-p2pmem-1.2.3");
    assert.equal(top["timestamp"], WRITTEN.getTime() / 1000);
    assert.equal(top["time"], "Sun Mar  1 12:05:07 2026");
  });

  it("names each point of a sweep apart", () => {
    const names = fioJobs(benchReport()).map(({ jobname }) => jobname);
    assert.equal(new Set(names).size, names.length);
    assert.equal(names[0], "sweep path=p2p bs=4k iodepth=1");
    assert.equal(names[1], "sweep path=host bs=4k iodepth=1");
    assert.equal(only(benchResult({ job: "alone" })).jobname, "alone");
  });

  it("has a copy's blocks on both sides, and its latency on the write side alone", () => {
    const copy = benchResult();
    const { read, write, trim } = only(copy);
    for (const side of [read, write]) {
      assert.equal(side.io_bytes, copy.bytes);
      assert.equal(side.total_ios, copy.ios);
      assert.equal(side.runtime, 10_000);
      assert.equal(side.iops, copy.ios / 10);
      assert.equal(side.bw, Math.floor(copy.bytes / 10 / 1024));
      assert.equal(side.slat_ns.N, 0);
      assert.equal(side.bw_samples, 5);
    }
    assert.deepEqual(read.clat_ns, { min: 0, max: 0, mean: 0, stddev: 0, N: 0 });
    assert.equal(write.clat_ns.N, copy.ios);
    assert.equal(write.lat_ns.mean, copy.lat_ns!.mean);
    assert.equal(write.clat_ns.percentile!["99.900000"], copy.lat_ns!.percentile["99.9"]);
    assert.equal(trim.total_ios, 0);
  });

  it("has reads on the read side, and of a mix each on its own, without samples of its own", () => {
    const { read, write } = only(benchResult({ rw: "randread", dst: null }));
    assert.equal(write.total_ios, 0);
    assert.equal(write.runtime, 0);
    assert.ok(read.clat_ns.N > 0);
    const mix = benchReport().results.find(({ job }) => job === "mix")!;
    const sides = only(mix);
    assert.equal(sides.read.total_ios, mix.read!.ios);
    assert.equal(sides.read.io_bytes, mix.read!.ios * 4096);
    assert.equal(sides.write.clat_ns.mean, mix.write!.lat_ns!.mean);
    assert.equal(sides.write.bw_samples, 0);
    assert.equal(sides["usr_cpu"], mix.cpu.usr_pct / 2);
  });

  it("says by errno which data were wrong and which run was cut short", () => {
    const jobs = fioJobs(benchReport()).slice(-2);
    assert.deepEqual(
      jobs.map(({ error }) => error),
      [84, 4],
    );
    assert.equal(only(benchResult()).error, 0);
  });

  it("leaves out what p2pmem does not know", () => {
    const job = only(benchResult());
    for (const key of ["ctx", "majf", "minf", "iodepth_level", "disk_util"])
      assert.ok(!(key in job), key);
    const withoutBins = benchResult();
    delete (withoutBins.lat_ns as Partial<Latency>).histogram;
    assert.ok(!("latency_us" in only(withoutBins)));
  });

  it("counts every I/O in one coarse class", () => {
    const job = fioJobs(benchReport())[0]!;
    const classes = ["latency_ns", "latency_us", "latency_ms"].flatMap((unit) =>
      Object.values(job[unit] as Record<string, number>),
    );
    assert.ok(Math.abs(classes.reduce((sum, share) => sum + share, 0) - 100) < 1e-9);
    // 42 us to 101 us, and one in fifty at 424 us.
    assert.ok(Math.abs(job.latency_us["500"]! - 2) < 1e-9);
    const buckets: [number, number, number][] = [[1999e6, 2001e6, 1]];
    const slow = benchResult();
    slow.lat_ns = { ...slow.lat_ns!, histogram: [...buckets, [3, 3, 1], [998, 998, 2]] };
    const of = only(slow);
    assert.equal((of["latency_ms"] as Record<string, number>)[">=2000"], 25);
    assert.equal((of["latency_ns"] as Record<string, number>)["4"], 25);
    assert.equal((of["latency_ns"] as Record<string, number>)["1000"], 50);
  });
});

describe("fio's own reader of json+", () => {
  const directory = mkdtempSync(join(tmpdir(), "p2pmem-fio-"));
  after(() => {
    rmSync(directory, { recursive: true });
  });

  it("finds each bin, and agrees that the table it makes is the same data", function () {
    const [source, table] = [join(directory, "report.json"), join(directory, "table.csv")];
    const report = benchReport();
    writeFileSync(source, benchFioJson(report, WRITTEN));
    if (spawnSync(TOOL, ["--help"]).status !== 0) {
      // It comes with fio and needs python3-six; where the tests must all run both are installed.
      assert.notEqual(process.env["CI"], "true", `${TOOL} does not run`);
      this.skip();
    }
    const made = spawnSync(TOOL, [source, table], { encoding: "utf8" });
    assert.equal(made.stderr, "");
    const checked = spawnSync(TOOL, [source, table, "--validate"], { encoding: "utf8" });
    assert.equal(checked.status, 0, checked.stdout + checked.stderr);
    assert.equal(checked.stdout.match(/validated/g)?.length, report.results.length);

    const copy = report.results[0]!;
    const [header, ...lines] = readFileSync(join(directory, "table_job0.csv"), "utf8")
      .trim()
      .split("\n")
      .map((line) => line.split(",").map((cell) => cell.trim()));
    const column = (name: string): string[] => lines.map((line) => line[header!.indexOf(name)]!);
    const counts = column("write_clat_ns_count").map(Number);
    assert.deepEqual(
      counts,
      copy.lat_ns!.histogram!.map(([, , count]) => count),
    );
    assert.equal(Number(column("write_clat_ns_cumulative").at(-1)), copy.ios);
    assert.ok(column("read_clat_ns_count").every((cell) => cell === ""));
    for (const [index, ns] of column("nsec").map(Number).entries()) {
      const [lowest, highest] = copy.lat_ns!.histogram![index]!;
      assert.ok(lowest <= ns && ns <= highest, `${ns} lies in its bucket`);
    }
  });
});
