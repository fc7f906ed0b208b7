import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { BUILTIN_JOBS } from "#lib/bench/job/builtin.js";
import { combinations } from "#lib/bench/job/count.js";
import type { BenchJob } from "#lib/bench/job/job.js";
import { jobsFrom, loadJobs } from "#lib/bench/job/load.js";
import { PARAMETER_NAMES, type JobParameters } from "#lib/bench/job/parameters.js";
import { JobFiles } from "../../../support/job-files.js";

const DEFAULTS: Omit<BenchJob, "name" | "file" | "says" | "mistake"> = {
  rw: ["copy"],
  path: ["p2p", "host"],
  src: [["auto"]],
  dst: ["auto"],
  provider: ["closest"],
  ibDev: null,
  ibPort: null,
  gidIndex: null,
  bs: [4096],
  iodepth: [1],
  numjobs: [1],
  rwmixread: [50],
  registration: ["once"],
  offset: 0,
  size: null,
  runtime: 1,
  timeBased: true,
  loops: 1,
  rampTime: 0,
  samples: 6,
  rateIops: null,
  cpusAllowed: [],
  verify: null,
  randseed: 1,
  percentiles: [1, 5, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.99, 99.999],
  descriptors: "auto",
  sqInCmb: false,
  listsInCmb: false,
  expect: [],
};

const UNTIMED = { runtime: null, timeBased: false };

type Expected = Partial<Omit<BenchJob, "says" | "mistake">>;

describe("job files", () => {
  const files = new JobFiles();
  after(() => {
    files.remove();
  });

  const load = async (text: string, overrides?: JobParameters): Promise<Expected[]> =>
    (await files.load(text, overrides)).map((job) => {
      const { says, mistake, file, ...rest } = job;
      assert.ok(typeof says === "function" && typeof mistake === "function");
      assert.ok(file === `${files.directory}/job.yaml`);
      return rest;
    });

  const good: [title: string, text: string, jobs: Expected[], overrides?: JobParameters][] = [
    ["a name is enough", "a:\n", [{ name: "a" }]],
    [
      "global is for all jobs, and each job's own word goes before it, wherever it stands",
      "a: { bs: 8k }\nglobal: { bs: 4k, iodepth: 8 }\nb:\n",
      [
        { name: "a", bs: [8192], iodepth: [8] },
        { name: "b", bs: [4096], iodepth: [8] },
      ],
    ],
    [
      "overrides go before both",
      "global: { bs: 4k }\na: { bs: 8k, iodepth: 2 }\n",
      [{ name: "a", bs: [16384, 32768], iodepth: [2] }],
      { bs: ["16k", 32768] },
    ],
    [
      "- and _ are alike, and fio's other names are known",
      "a: { ramp-time: 2, rate_iops: 5, readwrite: randread, blocksize: 1k, sq-in_cmb: 1 }\n",
      [
        {
          ...{ name: "a", rampTime: 2, rateIops: 5, rw: ["randread"], bs: [1024] },
          sqInCmb: true,
        },
      ],
    ],
    [
      "lists sweep, and what stands twice counts once",
      "a: { bs: [4k, 64k, 4096], rw: [copy, readwrite, rw], rwmixread: [30, 70] }\n",
      [{ name: "a", bs: [4096, 65536], rw: ["copy", "rw"], rwmixread: [30, 70] }],
    ],
    [
      "lists of what a result does not show make jobs",
      "a: { rate_iops: [1000, 2000], size: [1m, 5k] }\n",
      [
        ["1m", 1 << 20],
        ["5k", 5120],
      ].flatMap(([name, size]) =>
        [1000, 2000].map((rateIops) => ({
          ...{ name: `a size=${name} rate_iops=${rateIops}`, size: size as number, rateIops },
          ...{ runtime: null, timeBased: false },
        })),
      ),
    ],
    [
      "kernel is both of its paths",
      "a: { path: [kernel, kernel-host], src: /dev/nvme0n1, dst: 'file:/tmp/x@1m' }\n",
      [
        {
          ...{ name: "a", path: ["kernel-p2p", "kernel-host"], src: [["/dev/nvme0n1"]] },
          dst: ["file:/tmp/x@1m"],
        },
      ],
    ],
    [
      "several sources run together: fio's a:b, or a list in the list",
      "a: { rw: read, src: ['0000:03:00.0:04:00.0/2@1m+2m', [05:00.0, 06:00.0], each] }\n",
      [
        {
          ...{ name: "a", rw: ["read"] },
          src: [["0000:03:00.0", "04:00.0/2@1m+2m"], ["05:00.0", "06:00.0"], ["each"]],
        },
      ],
    ],
    [
      "the kernel's run together likewise, whatever colons their names have",
      "a:\n  rw: read\n  path: kernel-host\n  src:\n    - /dev/nvme0n1@1m:/dev/nvme1n1\n" +
        "    - /dev/disk/by-path/pci-0000:03:00.0-nvme-1\n    - file:/a:file:/b\n    - [file:/a:b]\n",
      [
        {
          ...{ name: "a", rw: ["read"], path: ["kernel-host"] },
          src: [
            ["/dev/nvme0n1@1m", "/dev/nvme1n1"],
            ["/dev/disk/by-path/pci-0000:03:00.0-nvme-1"],
            ["file:/a", "file:/b"],
            ["file:/a:b"],
          ],
        },
      ],
    ],
    [
      "times are fio's",
      "a: { runtime: 500ms, ramp_time: 0 }\nb: { runtime: 2m, ramp_time: 1.5 }\nc: { runtime: 1h }\n",
      [
        { name: "a", runtime: 0.5 },
        { name: "b", runtime: 120, rampTime: 1.5 },
        { name: "c", runtime: 3600 },
      ],
    ],
    [
      "size or loops end a run, a runtime too if it comes first, unless it is time_based",
      "a: { size: 1m }\nb: { loops: 3 }\nc: { size: 1m, runtime: 5 }\n" +
        "d: { size: 1m, runtime: 5, time_based: 1 }\ne: { runtime: 5 }\n",
      [
        { name: "a", size: 1 << 20, runtime: null, timeBased: false },
        { name: "b", loops: 3, runtime: null, timeBased: false },
        { name: "c", size: 1 << 20, runtime: 5, timeBased: false },
        { name: "d", size: 1 << 20, runtime: 5, timeBased: true },
        { name: "e", runtime: 5, timeBased: true },
      ],
    ],
    [
      "without time_based a run goes once through its range, or until its runtime",
      "a: { time_based: 0 }\nb: { time_based: 0, runtime: 5 }\n",
      [
        { name: "a", runtime: null, timeBased: false, loops: 1 },
        { name: "b", runtime: 5, timeBased: false, loops: 1 },
      ],
    ],
    [
      "of time_based and loops a job's own goes first, else time_based",
      "global: { loops: 2, runtime: 5 }\na: { time_based: 1 }\nb:\n",
      [
        { name: "a", runtime: 5, timeBased: true, loops: 2 },
        { name: "b", runtime: 5, timeBased: false, loops: 2 },
      ],
    ],
    [
      "of time_based of all jobs and a job's own loops the latter",
      "global: { time_based: 1 }\na: { loops: 3 }\nb: { loops: 3, runtime: 5 }\nc: { runtime: 5 }\n",
      [
        { name: "a", runtime: null, timeBased: false, loops: 3 },
        { name: "b", runtime: 5, timeBased: false, loops: 3 },
        { name: "c", runtime: 5, timeBased: true },
      ],
    ],
    [
      "lists in the CMB and memcmp of all jobs are those of the copies",
      "global: { lists_in_cmb: 1, verify: memcmp }\na: { rw: randwrite, path: host }\nb:\n",
      [
        { name: "a", rw: ["randwrite"], path: ["host"], verify: "memcmp", listsInCmb: true },
        { name: "b", verify: "memcmp", listsInCmb: true },
      ],
    ],
    ["a size may hold one block", "a: { size: 4k }\n", [{ name: "a", size: 4096, ...UNTIMED }]],
    [
      "percentiles and processors are written as fio does, or as lists",
      "a: { percentile_list: 99:50:99.9, cpus_allowed: '0-2,6' }\n" +
        "b: { percentile_list: [99], cpus_allowed: [3, 1] }\nc: { cpus_allowed: 3 }\n",
      [
        { name: "a", percentiles: [50, 99, 99.9], cpusAllowed: [0, 1, 2, 6] },
        { name: "b", percentiles: [99], cpusAllowed: [1, 3] },
        { name: "c", cpusAllowed: [3] },
      ],
    ],
    [
      "expectations are a text or a list",
      "a: { expect: x > 1 }\nb: { expect: [x > 1, y > 2] }\n",
      [
        { name: "a", expect: ["x > 1"] },
        { name: "b", expect: ["x > 1", "y > 2"] },
      ],
    ],
    [
      "none switches verification off again",
      "global: { verify: crc32c }\na:\nb: { verify: none }\n",
      [{ name: "a", verify: "crc32c" }, { name: "b" }],
    ],
    [
      "what is said for all jobs need not make sense in each",
      "global: { provider: all, rwmixread: 70, verify: pattern, dst: 04:00.0 }\n" +
        "a: { path: host }\nb: { rw: read }\n",
      [
        {
          ...{ name: "a", path: ["host"], provider: ["all"], rwmixread: [70] },
          ...{ verify: "pattern", dst: ["04:00.0"] },
        },
        {
          ...{ name: "b", rw: ["read"], provider: ["all"], rwmixread: [70] },
          ...{ verify: "pattern", dst: ["04:00.0"] },
        },
      ],
    ],
    [
      "anchors and aliases are YAML's",
      "a: &same { bs: 8k }\nb: *same\n",
      [
        { name: "a", bs: [8192] },
        { name: "b", bs: [8192] },
      ],
    ],
  ];
  for (const [title, text, jobs, overrides] of good)
    it(title, async () => {
      const expected = jobs.map((job) => ({ ...DEFAULTS, ...job }));
      assert.deepEqual(await load(text, overrides), expected);
    });

  it("may be several, and stand beside built-in jobs, in the order of their names", async () => {
    const [one, two] = [files.write("a:\n", "one.yaml"), files.write("b:\nc:\n", "two.yaml")];
    const jobs = await loadJobs([two, "mix", one]);
    assert.deepEqual(
      jobs.map(({ name, file }) => [name, file]),
      [
        ["b", two],
        ["c", two],
        ["mix", null],
        ["a", one],
      ],
    );
  });

  it("are not needed: quick is the job then", async () => {
    const [job] = await loadJobs([]);
    assert.equal(job?.name, "quick");
  });

  it("may as well be the objects of a program", () => {
    const jobs = jobsFrom({ global: { bs: "4k" }, a: { iodepth: [1, 2] }, b: null }, { loops: 2 });
    assert.deepEqual(
      jobs.map(({ name, file, bs, iodepth, loops }) => [name, file, bs, iodepth, loops]),
      [
        ["a", null, [4096], [1, 2], 2],
        ["b", null, [4096], [1], 2],
      ],
    );
    assert.throws(() => jobsFrom({ a: { bs: "4q" } }), {
      code: "BAD_ARGUMENT",
      message: 'a.bs: "4q" is not a size',
    });
  });

  it("show where a parameter is, for mistakes that only the machine finds", async () => {
    const [job] = await files.load("global:\n  size: 1t\na:\n  bs: 4k\n");
    const { code, message } = job!.mistake("size", "is more than there is");
    assert.equal(code, "BAD_JOB_FILE");
    assert.match(message, /job\.yaml:2: global\.size: is more than there is$/);
    assert.match(job!.mistake("src", "x").message, /job\.yaml:3: a\.src: x$/);
  });

  it("are documented by files that can be read", async () => {
    const text = readFileSync(new URL("../../../../docs/job-file.md", import.meta.url), "utf8");
    const examples = [...text.matchAll(/```yaml\n([^]*?)```/g)].map(([, example]) => example!);
    assert.ok(examples.length >= 3);
    for (const name of PARAMETER_NAMES) assert.ok(text.includes(`\`${name}\``), name);
    for (const { name } of BUILTIN_JOBS) assert.ok(text.includes(`\`${name}\``), name);
    for (const example of examples)
      for (const job of await files.load(example)) {
        assert.ok(combinations(job) > 0);
      }
  });

  it("load what reads YAML only where there is a file", () => {
    const script = `
      import { Module } from "node:module";
      const { loadJobs } = await import("#lib/bench/job/load.js");
      const loaded = () => Object.keys(Module._cache).some((file) => /node_modules.yaml/.test(file));
      await loadJobs(["quick"]);
      const before = loaded();
      await loadJobs(["none.yaml"]).catch(() => undefined);
      console.log(before, loaded());`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ["--input-type=module", "--eval", script],
      { encoding: "utf8", cwd: new URL("../../../..", import.meta.url) },
    );
    assert.equal(stdout, "false true\n", stderr);
  });
});
