import assert from "node:assert/strict";
import { loadJobs } from "#lib/bench/job/load.js";
import type { JobParameters } from "#lib/bench/job/parameters.js";
import type { P2pError } from "#lib/errors.js";
import { JobFiles } from "../../../support/job-files.js";

describe("mistakes in job files", () => {
  const files = new JobFiles();
  after(() => {
    files.remove();
  });

  /** What follows the file's name, and what the hint has. */
  const mistakes: [title: string, text: string, message: string, hint: RegExp][] = [
    ["no YAML", "a:\n  bs: [4k\n", "3: Flow sequence", /docs\/job-file\.md/],
    ["a cycle", "a: &a\n  expect: *a\n", "2: *a is part of what it refers to", /job-file/],
    ["nothing", "", "1: the file: must be a mapping of jobs", /job-file/],
    ["a list", "- a\n", "1: the file: must be a mapping of jobs", /job-file/],
    ["no job", "global:\n  bs: 4k\n", "1: the file: has no job", /a name with parameters/],
    ["a job without a name", "'': {}\n", "1: the file: a job needs a name", /job-file/],
    ["a job that is a text", "\na: quick\n", "2: a: must be a mapping of parameters", /job-file/],
    ["a job that is a list", "a:\n  - bs: 4k\n", "1: a: must be a mapping", /job-file/],
    ["a global that is a text", "global: 4k\na:\n", "1: global: must be a mapping", /job-file/],
    ["a parameter outside of a job", "a:\nbs: 4k\n", "2: bs: is a parameter, not a job", /global/],
    ["one without a value there", "a:\nbs:\n", "2: bs: is a parameter, not a job", /global/],
    [
      "a parameter that there is not, and the nearest",
      "a:\n  bs: 4k\n  io-dept: 4\n",
      "3: a.io-dept: there is no such parameter; did you mean iodepth?",
      /there are rw, path, /,
    ],
    ["one that is near to none", "a: { x: 1 }\n", "1: a.x: there is no such parameter", /bs/],
    [
      "in global",
      "global:\n  runtme: 1\na:\n",
      "2: global.runtme: there is no such parameter; did you mean runtime?",
      /there are/,
    ],
    ["one said twice", "a:\n  bs: 4k\n  bs: 8k\n", "3: Map keys must be unique", /job-file/],
    [
      "one said twice, with _ and -",
      "a:\n  ramp_time: 1\n  ramp-time: 2\n",
      "3: a.ramp-time: is said twice, also as ramp_time",
      /job-file/,
    ],
    ["no size", "a:\n  bs: [4k, 4q]\n", '2: a.bs[1]: "4q" is not a size', /128k/],
    [
      "commas in place of a list",
      "a:\n  bs: 4k,8k\n",
      '2: a.bs: "4k,8k" is not a size',
      /a sweep is a list: \[4k, 8k\]/,
    ],
    ["an empty sweep", "a:\n  bs: []\n", "2: a.bs: an empty list measures nothing", /leave bs out/],
    ["no value", "a:\n  bs:\n", "2: a.bs: nothing is not a size", /4096/],
    [
      "lists in a CMB where nothing is copied",
      "a:\n  rw: read\n  path: host\n  lists_in_cmb: true\n",
      "4: a.lists_in_cmb: it goes with copies, but rw is read",
      /sq_in_cmb/,
    ],
    [
      "queues in a CMB where the kernel makes them",
      "a:\n  path: kernel-host\n  src: /dev/nvme0n1\n  dst: /dev/nvme1n1\n  sq_in_cmb: true\n",
      "5: a.sq_in_cmb: the kernel's driver decides this itself: path is kernel-host",
      /one of the paths that take it/,
    ],
    ["bs 0", "a: { bs: 0 }\n", "1: a.bs: the size is 0", /above 0/],
    ["size 0", "a: { size: 0k }\n", "1: a.size: the size is 0", /above 0/],
    ["runtime 0", "a:\n  runtime: 0\n", "2: a.runtime: 0 is not a time", /more than 0 seconds/],
    ["runtime 0s", "a: { runtime: 0s }\n", '1: a.runtime: "0s" is not a time', /more than 0/],
    ["a time before now", "a: { ramp_time: -1 }\n", "1: a.ramp_time: -1 is not a time", /seconds/],
    [
      "an endless time",
      "a: { runtime: .inf }\n",
      "1: a.runtime: Infinity is not a time",
      /seconds/,
    ],
    ["no time", "a: { runtime: soon }\n", '1: a.runtime: "soon" is not a time', /500ms/],
    ["depth 0", "a: { iodepth: 0 }\n", "1: a.iodepth: 0 is not a whole number", /from 1 to 65535/],
    ["half a depth", "a: { iodepth: 1.5 }\n", "1: a.iodepth: 1.5 is not a whole", /from 1 to/],
    ["101 %", "a: { rw: rw, rwmixread: 101 }\n", "1: a.rwmixread: 101 is not", /from 0 to 100/],
    ["no workload", "a: { rw: rndread }\n", '1: a.rw: "rndread" is not a workload', /randread\?/],
    ["no path", "a: { path: pp2p }\n", '1: a.path: "pp2p" is not a path', /mean p2p\? there are/],
    ["no flag", "a: { time_based: 2 }\n", "1: a.time_based: 2 is not true or false", /1 or 0/],
    ["no mode", "a: { verify: md5 }\n", '1: a.verify: "md5" is not a mode', /crc32c, pattern/],
    ["no endpoint", "a: { src: nvme0 }\n", '1: a.src: "nvme0" is not an endpoint', /BDF.*file:/],
    ["no size of a range", "a: { src: 03:00.0@4q }\n", '1: a.src: "4q" is not a size', /128k/],
    ["no provider", "a: { provider: 03:00.0/1 }\n", '1: a.provider: "03:00.0/1" is no', /cmb/],
    [
      "no percentile",
      "a: { percentile_list: 50:101 }\n",
      '1: a.percentile_list: "50:101"',
      /50:99/,
    ],
    ["no processors", "a: { cpus_allowed: 3-1 }\n", '1: a.cpus_allowed: "3-1" is not a', /0-3,6/],
    ["no RDMA device", "a: { path: rdma, ib_dev: [] }\n", "1: a.ib_dev: an empty list", /leave/],
    [
      "an RDMA device's file",
      "a: { path: rdma, ib_dev: /dev/x }\n",
      '1: a.ib_dev: "/dev/x" is not a name of an RDMA device',
      /p2pmem rdma devices/,
    ],
    [
      "a wire with three ends",
      "a: { path: rdma, ib_port: 1:2:1 }\n",
      '1: a.ib_port: "1:2:1" is not one value or two',
      /SOURCE:DESTINATION/,
    ],
    ["port 0", "a: { path: rdma, ib_port: 1:0 }\n", "1: a.ib_port: 0 is not", /from 1 to 255/],
    ["no expectation", "a: { expect: [1] }\n", "1: a.expect: a list is not a text", /one text/],
    [
      "one source twice",
      "a: { rw: read, src: ['03:00.0:03:00.0'] }\n",
      "1: a.src[0]: an endpoint is named twice",
      /numjobs/,
    ],
    [
      "auto beside another source",
      "a: { rw: read, src: [[auto, 03:00.0]] }\n",
      "1: a.src[0]: auto and each do not run together with others",
      /name the endpoints/,
    ],
    [
      "the kernel's and other devices together",
      "a: { rw: read, src: '03:00.0:/dev/nvme0n1' }\n",
      "1: a.src: the kernel's devices do not run together with others",
      /one kind/,
    ],
  ];
  for (const [title, text, message, hint] of mistakes)
    it(`are shown with file, line and field: ${title}`, async () => {
      const error = await files.mistake(text);
      assert.equal(error.code, "BAD_JOB_FILE");
      assert.ok(error.isUsage);
      assert.ok(error.message.startsWith(`job.yaml:${message}`), error.message);
      assert.match(error.hint!, hint);
    });

  const contradictions: [text: string, message: string][] = [
    ["a:\n  bs: 4k\n  time_based: 1\n", "3: a.time_based: without a runtime there is no end"],
    [
      "a:\n  runtime: 1\n  time_based: 1\n  loops: 2\n",
      "4: a.loops: time_based runs until runtime, however many loops that is",
    ],
    ["a:\n  bs: [4k, 1m]\n  size: 64k\n", "3: a.size: 64 KiB holds no block of 1 MiB"],
    [
      "a:\n  group_reporting: false\n",
      "2: a.group_reporting: there are no results of each thread alone",
    ],
    ["a:\n  rwmixread: 70\n", "2: a.rwmixread: rw is copy, which mixes nothing"],
    ["a:\n  rw: read\n  rwmixread: 70\n", "3: a.rwmixread: rw is read, which mixes nothing"],
    [
      "a:\n  rw: [copy, read]\n  path: [p2p, nvme-copy]\n",
      "3: a.path: nvme-copy is a path of copies, but rw is read",
    ],
    ["a:\n  rw: rw\n  path: cpu\n", "3: a.path: cpu is a path of copies, but rw is rw"],
    [
      "a:\n  path: host\n  provider: all\n",
      "3: a.provider: the path host goes through no peer memory",
    ],
    [
      "a:\n  rw: [read, randread]\n  verify: crc32c\n",
      "3: a.verify: rw is read, randread: nothing is written to be verified",
    ],
    [
      "a:\n  rw: randrw\n  rwmixread: [50, 100]\n  verify: crc32c\n",
      "3: a.rwmixread[1]: randrw of 100 % reads writes nothing to be verified",
    ],
    [
      "a:\n  rw: [copy, write]\n  verify: memcmp\n",
      "3: a.verify: memcmp compares with a source, and write has none",
    ],
    [
      "a:\n  src: [[03:00.0, 04:00.0]]\n",
      "2: a.src: a copy has one source, not 03:00.0 and 04:00.0 together",
    ],
    ["a:\n  rw: read\n  dst: 03:00.0\n", "3: a.dst: nothing is copied: rw is read"],
    ["a:\n  path: [p2p, kernel]\n", "1: a.src: kernel-p2p needs one of the kernel's devices"],
    [
      "a:\n  path: [p2p, kernel]\n  src: /dev/nvme0n1\n",
      "3: a.src: p2p needs a device that p2pmem drives",
    ],
    [
      "a:\n  path: [p2p, host]\n  src: [auto, /dev/nvme0n1]\n",
      "3: a.src: path p2p, host does not reach the kernel's devices",
    ],
    [
      "a:\n  path: kernel-host\n  src: /dev/nvme0n1\n  dst: [/dev/nvme1n1, 03:00.0]\n",
      "4: a.dst: path kernel-host does not reach 03:00.0",
    ],
    ...(
      [
        ["registration", "[once, each]"],
        ["descriptors", "sgl"],
        ["sq_in_cmb", "true"],
        ["lists_in_cmb", "true"],
      ] as const
    ).map(([name, value]): [string, string] => [
      `a:\n  path: kernel-host\n  src: file:/x\n  dst: file:/y\n  ${name}: ${value}\n`,
      `5: a.${name}: the kernel's driver decides this itself: path is kernel-host`,
    ]),
    ...(
      [
        ["registration", "[once, each]"],
        ["descriptors", "sgl"],
        ["sq_in_cmb", "true"],
        ["lists_in_cmb", "true"],
      ] as const
    ).map(([name, value]): [string, string] => [
      `a:\n  path: [rdma, kernel-host]\n  src: [auto, file:/x]\n  dst: [auto, file:/y]\n  ${name}: ${value}\n`,
      `5: a.${name}: a stream decides this itself: path is rdma-p2p`,
    ]),
    [
      "a:\n  path: [p2p, rdma-host]\n  rw: [copy, write]\n",
      "2: a.path: rdma-host is a path of copies, but rw is write",
    ],
    [
      "a:\n  path: rdma-host\n  provider: closest\n",
      "3: a.provider: the path rdma-host goes through no peer memory",
    ],
    [
      "a:\n  path: [p2p, rdma]\n  numjobs: [1, 2]\n",
      "3: a.numjobs[1]: the path rdma-p2p has one thread at each end, not 2",
    ],
    ...["ib_dev: rxe0", "ib_port: 1", "gid_index: 0"].map((said): [string, string] => [
      `a:\n  path: [p2p, host]\n  ${said}\n`,
      `3: a.${said.split(":")[0]!}: the path p2p, host has no wire`,
    ]),
    [
      "a:\n  path: kernel\n  rw: randwrite\n  src: /dev/nvme0n1\n  verify: pattern\n",
      "5: a.verify: randwrite by the path kernel-p2p is not verified",
    ],
    [
      "a:\n  path: kernel\n  src: /nvme0n1\n",
      '3: a.src: "/nvme0n1" is no endpoint of the kernel\'s driver',
    ],
  ];
  for (const [text, message] of contradictions)
    it(`are parameters that contradict each other: ${message.slice(3)}`, async () => {
      const error = await files.mistake(text);
      assert.equal(error.code, "BAD_JOB_FILE");
      assert.equal(error.message, `job.yaml:${message}`);
    });

  const overrides: [text: string, overrides: JobParameters, message: string][] = [
    ["a:\n", { time_based: true }, "time_based: without a runtime there is no end"],
    ["a:\n  bs: 1m\n", { size: "64k" }, "size: 64 KiB holds no block of 1 MiB"],
    ["a:\n", { bs: ["4q"] }, 'bs[0]: "4q" is not a size'],
  ];
  for (const [text, over, message] of overrides)
    it(`may be those of the overrides: ${message}`, async () => {
      const error = await files.mistake(text, over);
      assert.equal(error.code, "BAD_ARGUMENT");
      assert.equal(error.message, message);
    });

  it("are of the file where an override does not fit it", async () => {
    const error = await files.mistake("a:\n  path: [p2p, cpu]\n", { rw: "read" });
    assert.equal(error.code, "BAD_JOB_FILE");
    assert.equal(error.message, "job.yaml:2: a.path: cpu is a path of copies, but rw is read");
  });

  it("are names that two files give to jobs", async () => {
    const one = files.write("a:\n", "one.yaml");
    const two = files.write("b:\na:\n", "two.yaml");
    await assert.rejects(loadJobs([one, two]), (error: P2pError) => {
      assert.equal(error.code, "BAD_JOB_FILE");
      assert.equal(error.message, `${two}:2: a: there is another job "a", in ${one}`);
      return true;
    });
    await assert.rejects(loadJobs([one, one]), { code: "BAD_JOB_FILE" });
    await assert.rejects(loadJobs(["mix", files.write("mix:\n")]), { message: /built-in ones$/ });
  });

  it("are files that cannot be read; near names of built-in jobs are shown", async () => {
    await assert.rejects(loadJobs(["quik"]), {
      code: "BAD_JOB_FILE",
      errno: 2,
      message: "cannot read the job file quik: ENOENT",
      hint: /^did you mean quick\? name a file, or one of the built-in jobs: quick, paths/,
    });
    await assert.rejects(loadJobs([files.directory]), { message: /EISDIR/ });
  });

  it("are sweeps of more than 10,000 combinations, unless that is wanted", async () => {
    const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
    const text = (length: number): string =>
      `a: { iodepth: [${hundred.join()}], rwmixread: [${hundred.slice(1).join()}], rw: rw,` +
      ` path: host }\nb: { path: host, iodepth: [${hundred.slice(0, length).join()}] }\n`;
    assert.equal((await files.load(text(100))).length, 2);
    const more = text(100).replace("path: host }", "path: host }\nc: { path: host }");
    await assert.rejects(files.load(more), {
      code: "TOO_MANY_POINTS",
      message: "there are 10,001 combinations to measure",
      hint: /--yes/,
    });
    assert.equal((await files.load(more, {}, { yes: true })).length, 3);
    assert.equal((await files.load(more, { iodepth: 1 })).length, 3);
  });

  it("are found before memory is filled with millions of jobs", async () => {
    const many = Array.from({ length: 1000 }, (_, index) => index + 1).join();
    const text = `a: { rate_iops: [${many}], loops: [${many}], samples: [${many}] }\n`;
    await assert.rejects(files.load(text), { code: "TOO_MANY_POINTS", message: /1,000,000,000/ });
    await assert.rejects(files.load(text, {}, { yes: true }), { code: "TOO_MANY_POINTS" });
  });
});
