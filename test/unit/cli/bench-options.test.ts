import assert from "node:assert/strict";
import { Command } from "commander";
import { loadJobs } from "#lib/bench/job/load.js";
import { PARAMETER_NAMES, type JobParameters } from "#lib/bench/job/parameters.js";
import { addJobOptions, overridesOf } from "#lib/cli/bench-options.js";

/** A command that takes names of jobs and their options, as the real one does. */
function command(): Command {
  const bench = new Command("bench").argument("[job...]").exitOverride();
  bench.configureOutput({ outputError: () => undefined });
  addJobOptions(bench);
  return bench;
}

function parse(...words: string[]): { jobs: string[]; overrides: JobParameters } {
  const bench = command().parse(words, { from: "user" });
  return { jobs: bench.args, overrides: overridesOf(bench.opts()) };
}

describe("the options of a benchmark's parameters", () => {
  const options: [words: string[], overrides: JobParameters][] = [
    [[], {}],
    [["--bs", "4k,64k", "--iodepth=1,8"], { bs: ["4k", "64k"], iodepth: [1, 8] }],
    [["--bs", "4k", "--runtime", "0.05"], { bs: "4k", runtime: 0.05 }],
    [["--path", "p2p, host"], { path: ["p2p", "host"] }],
    [["--ramp-time", "2", "--rate_iops", "5"], { ramp_time: 2, rate_iops: 5 }],
    [["--jobs", "1,2"], { numjobs: [1, 2] }],
    [["--blocksize", "8k", "--readwrite", "read"], { bs: "8k", rw: "read" }],
    [["--sq-in-cmb", "--no-lists-in-cmb"], { sq_in_cmb: true, lists_in_cmb: false }],
    [["--time_based", "--runtime", "2m"], { time_based: true, runtime: "2m" }],
    [["--verify"], { verify: "memcmp" }],
    [["--verify", "crc32c"], { verify: "crc32c" }],
    [["--verify=none", "--bs", "4k"], { verify: "none", bs: "4k" }],
    [["--cpus-allowed", "0-3,6"], { cpus_allowed: "0-3,6" }],
    [["--cpus_allowed", "2"], { cpus_allowed: 2 }],
    [["--percentile-list", "50:99"], { percentile_list: "50:99" }],
    [
      ["--rw", "read", "--src", "03:00.0,04:00.0:05:00.0"],
      { rw: "read", src: ["03:00.0", "04:00.0:05:00.0"] },
    ],
    [["--expect", "min(a, b) > 1", "--expect", "c < 2"], { expect: ["min(a, b) > 1", "c < 2"] }],
  ];
  for (const [words, overrides] of options)
    it(`are read: ${words.join(" ")}`, async () => {
      assert.deepEqual(parse(...words).overrides, overrides);
      // What they are read as is what a job takes.
      await loadJobs(["quick"], overrides);
    });

  it("leave the names of jobs alone", () => {
    const words = ["one.yaml", "--sq-in-cmb", "two.yaml", "--verify=crc32c", "quick"];
    assert.deepEqual(parse(...words).jobs, ["one.yaml", "two.yaml", "quick"]);
  });

  const mistakes: [words: string[], code: string, message: RegExp][] = [
    [["--bs", "4k,0"], "BAD_SIZE", /^--bs: the size is 0/],
    [["--path", "p2p,moon"], "BAD_ARGUMENT", /^--path: "moon" is not a path/],
    [["--iodepth", "0"], "BAD_ARGUMENT", /^--iodepth: 0 is not a whole number/],
    [["--runtime", "-1"], "BAD_ARGUMENT", /^--runtime: "-1" is not a time/],
    [["--src", "nvme0"], "BAD_ENDPOINT", /^--src: "nvme0" is not an endpoint/],
    [["--provider", "05:00.0/bar9"], "BAD_ENDPOINT", /^--provider: /],
    [["--bs", ""], "BAD_ARGUMENT", /^--bs: an empty list measures nothing$/],
    [["--iodepth", ","], "BAD_ARGUMENT", /^--iodepth: an empty list measures nothing$/],
    [["--verify", "job.yaml"], "BAD_ARGUMENT", /^--verify: "job\.yaml" is not a mode/],
    [["--expect", ""], "BAD_ARGUMENT", /^--expect: "" is not a text/],
    [["--jobs", "2", "--numjobs", "3"], "BAD_ARGUMENT", /^--numjobs is given twice/],
  ];
  for (const [words, code, message] of mistakes)
    it(`are refused by name: ${words.join(" ")}`, () => {
      assert.throws(() => parse(...words), { code, message });
    });

  it("show the nearest where there is no such option", () => {
    assert.throws(() => parse("--iodepht", "4"), { message: /Did you mean --iodepth\?/ });
  });

  it("are one for each parameter in the help, whose lines fit", () => {
    const help = command().helpInformation();
    for (const name of PARAMETER_NAMES)
      assert.ok(help.includes(`--${name.replaceAll("_", "-")} `), name);
    for (const spelling of [/--jobs/, /--readwrite/, /--\w*_/, /--no-/])
      assert.doesNotMatch(help, spelling);
    for (const line of help.split("\n")) assert.ok(line.length <= 100, line);
  });
});
